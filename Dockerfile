# syntax=docker/dockerfile:1
# Steelyard as an image: built with the toolchain that rust-toolchain.toml names, run on Debian 12 without root.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The image has the toolchain already; the file would fetch it again for the tools used in development.
RUN rm -f rust-toolchain.toml
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package steelyard --bin steelyard \
    && install -D target/release/steelyard /out/steelyard

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin steelyard
COPY --from=build /out/steelyard /usr/local/bin/steelyard
# The declared topics and schemas, to be read by people: the program has its own copy.
COPY topics /opt/steelyard/topics
WORKDIR /opt/steelyard
USER steelyard
# Beyond the container's own loopback.
ENV STEELYARD_HTTP_LISTEN=0.0.0.0:8080 STEELYARD_OPS_LISTEN=0.0.0.0:9090
EXPOSE 8080 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=12 \
    CMD curl -fsS -o /dev/null --max-time 2 http://127.0.0.1:8080/readyz
CMD ["steelyard", "all"]

# shellcheck shell=bash disable=SC2034
# What ./dev pins, named once; docker-compose.yml repeats the services as image tags, and `./dev test` refuses a difference.

KAFKA_VERSION=4.3.1
SCALA_VERSION=2.13
REDIS_MAJOR=7
POSTGRES_MAJOR=15
CARGO_DENY_VERSION=0.20.2 # what checks the dependencies by deny.toml
KAFKA_PYTHON_VERSION=3.0.12 # the Python client of the README's example

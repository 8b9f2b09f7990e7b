//! Declares metrics: the doc comment of a field is its help text, its literal is its name.
//!
//! Names follow `steelyard_<what>_<unit>[_total]` in base units. Labels come from closed sets
//! (`partition`, `status`, `reason`, `stage`, `route`), never from a client's input.

/// Declares a struct of metrics with `pub fn new(registry: &prometheus::Registry) -> Result<Self>`.
///
/// ```
/// steelyard::metrics! {
///     /// What the example counts.
///     pub struct Example {
///         /// Things seen.
///         pub seen: prometheus::IntCounterVec = "steelyard_example_seen_total", ["partition"];
///         /// How long a thing took.
///         pub took: prometheus::HistogramVec = "steelyard_example_seconds", ["stage"], buckets [0.001, 0.01];
///         /// Things in the queue.
///         pub queue: prometheus::IntGauge = "steelyard_example_queue";
///     }
/// }
/// let registry = prometheus::Registry::new();
/// let metrics = Example::new(&registry).unwrap();
/// metrics.seen.with_label_values(&["0"]).inc();
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                pub $field:ident: $kind:ty = $metric:literal
                    $(, [$($label:literal),+ $(,)?])? $(, buckets $buckets:expr)?;
            )+
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl $name {
            /// The name of every metric, and its labels.
            pub const NAMES: &[(&str, &[&str])] = &[
                $(($metric, &[$($($label),+)?])),+
            ];

            /// Registers every metric.
            ///
            /// # Errors
            /// If a name is registered already.
            pub fn new(registry: &prometheus::Registry) -> prometheus::Result<Self> {
                Ok(Self {
                    $($field: {
                        let help = concat!($($help),+).trim();
                        let metric = $crate::metrics!(
                            @make $kind, $metric, help $(, [$($label),+])? $(, buckets $buckets)?
                        );
                        registry.register(Box::new(metric.clone()))?;
                        metric
                    },)+
                })
            }
        }
    };
    (@make $kind:ty, $metric:literal, $help:ident) => {
        <$kind>::with_opts(prometheus::Opts::new($metric, $help).into())?
    };
    (@make $kind:ty, $metric:literal, $help:ident, buckets $buckets:expr) => {
        <$kind>::with_opts(
            prometheus::HistogramOpts::new($metric, $help).buckets($buckets.to_vec()),
        )?
    };
    (@make $kind:ty, $metric:literal, $help:ident, [$($label:literal),+]) => {
        <$kind>::new(prometheus::Opts::new($metric, $help).into(), &[$($label),+])?
    };
    (
        @make $kind:ty, $metric:literal, $help:ident, [$($label:literal),+], buckets $buckets:expr
    ) => {
        <$kind>::new(
            prometheus::HistogramOpts::new($metric, $help).buckets($buckets.to_vec()),
            &[$($label),+],
        )?
    };
}

/// Buckets for latencies from 100 µs to 10 s.
pub const LATENCY_BUCKETS: [f64; 16] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];

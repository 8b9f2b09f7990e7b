//! Rules that can be switched off, one at a time, to see that the simulator finds it out.
//!
//! A rule is broken in the world around the code, never in the code: an acknowledgement comes too
//! early, an answer is not what was stored.

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Outcomes are acknowledged before they are on the log: legs, hot and replies overtake them.
    EarlyAck,
    /// Legs are sent once: what a crash kept from the log is never sent again.
    NoResend,
    /// A takeover starts from a marker without its leg counters.
    CountersForgotten,
    /// A takeover reads where cold stands before the rows: the end is older than the base.
    EndBeforeCold,
    /// A marker is accepted whose versions sum up, whatever else it says.
    SumAlone,
    /// Hot takes whatever an owner writes, without a claim of its own.
    RewriteWithoutClaim,
    /// Rows go to cold as snapshots come, ahead of their marker.
    RowsAheadOfMarker,
    /// Whether a hold is due is asked of the owner's clock: a tick's time is when it is read.
    ExpiryByClock,
    /// A takeover starts without holds that have ended.
    EndedHoldsForgotten,
    /// A takeover starts from leg counters that miss the leg which last posted a hold's part.
    PostNotCounted,
    /// A marker is accepted whatever it says of holds.
    HoldSumsLeftOut,
    /// A takeover from the log alone knows no terms but those that outcomes left there tell.
    TermsForgotten,
    /// A takeover from the log alone starts from leg counters of before its marker.
    LogCountersForgotten,
}

impl Break {
    pub(crate) const ALL: [Self; 13] = [
        Self::EarlyAck,
        Self::NoResend,
        Self::CountersForgotten,
        Self::EndBeforeCold,
        Self::SumAlone,
        Self::RewriteWithoutClaim,
        Self::RowsAheadOfMarker,
        Self::ExpiryByClock,
        Self::EndedHoldsForgotten,
        Self::PostNotCounted,
        Self::HoldSumsLeftOut,
        Self::TermsForgotten,
        Self::LogCountersForgotten,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EarlyAck => "leg-before-acknowledgement",
            Self::NoResend => "no-resend",
            Self::CountersForgotten => "counters-not-restored",
            Self::EndBeforeCold => "end-read-before-cold",
            Self::SumAlone => "sum-alone",
            Self::RewriteWithoutClaim => "rewrite-without-claim",
            Self::RowsAheadOfMarker => "rows-ahead-of-marker",
            Self::ExpiryByClock => "expiry-by-clock",
            Self::EndedHoldsForgotten => "ended-holds-forgotten",
            Self::PostNotCounted => "post-not-counted",
            Self::HoldSumsLeftOut => "hold-sums-left-out",
            Self::TermsForgotten => "terms-forgotten",
            Self::LogCountersForgotten => "log-counters-forgotten",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

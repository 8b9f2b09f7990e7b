//! Every business "no", in order of precedence.

/// Why a command was refused. A rejection is an outcome: final for its reference, and nothing
/// changed by it. Declared in order of precedence: the balances of a command are judged in the
/// order its debits and then its credits name them, and the first rejection of the first refused
/// balance is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rejection {
    /// The reference was decided before, with other content.
    ReferenceReused = 1,
    /// It would take effect later than it is decided, or closes a period that is not over.
    EffectiveInFuture,
    /// It would take effect in a closed period, or closes less than is closed.
    PeriodClosed,
    /// What is to be reversed is not known here, or no more.
    OriginalNotFound,
    /// The transaction of this id asked for something else than the original that is named.
    OriginalMismatch,
    /// It was refused, or is of a type that moves nothing back.
    NotReversible,
    /// Its last stop has not decided on it yet, or knows it no more.
    OriginalUndecided,
    /// Nothing of it was posted, or all of that is reversed.
    NothingToReverse,
    /// More than what is left of it to reverse.
    ReverseExceedsOriginal,
    /// `open` of a balance that is there already.
    BalanceExists,
    /// A balance that was never opened in this ledger.
    BalanceNotFound,
    /// The balance is the system's own and cannot be opened or configured.
    SystemBalance,
    /// A posting's asset is not the balance's.
    AssetMismatch,
    BalanceClosed,
    /// The balance is frozen in this direction.
    BalanceFrozen,
    /// `expect` named another version than the balance has.
    VersionMismatch,
    /// A debit would take available below zero.
    InsufficientFunds,
    /// A credit would take the balance over its ceiling.
    CeilingExceeded,
    /// A balance would need more than 28 digits.
    AmountOverflow,
    /// The new floor or ceiling is not met by what the balance holds now.
    LimitNotMet,
    /// `close` of a balance that is not at zero, or has holds or incoming credits.
    BalanceNotEmpty,
    /// A hold that is not known here, or no more.
    HoldNotFound,
    /// A later stop has not decided on the hold yet.
    HoldPending,
    /// The hold's time is over.
    HoldExpired,
    /// The hold's rest was released before.
    HoldVoided,
    /// All of the hold was posted before.
    HoldSpent,
    /// An amount cannot say how much of which asset of the hold.
    AmountAmbiguous,
    /// More than what is left of the hold.
    PostExceedsHold,
}

/// All rejections, in order of precedence.
pub const ALL: [Rejection; 28] = [
    Rejection::ReferenceReused,
    Rejection::EffectiveInFuture,
    Rejection::PeriodClosed,
    Rejection::OriginalNotFound,
    Rejection::OriginalMismatch,
    Rejection::NotReversible,
    Rejection::OriginalUndecided,
    Rejection::NothingToReverse,
    Rejection::ReverseExceedsOriginal,
    Rejection::BalanceExists,
    Rejection::BalanceNotFound,
    Rejection::SystemBalance,
    Rejection::AssetMismatch,
    Rejection::BalanceClosed,
    Rejection::BalanceFrozen,
    Rejection::VersionMismatch,
    Rejection::InsufficientFunds,
    Rejection::CeilingExceeded,
    Rejection::AmountOverflow,
    Rejection::LimitNotMet,
    Rejection::BalanceNotEmpty,
    Rejection::HoldNotFound,
    Rejection::HoldPending,
    Rejection::HoldExpired,
    Rejection::HoldVoided,
    Rejection::HoldSpent,
    Rejection::AmountAmbiguous,
    Rejection::PostExceedsHold,
];

impl Rejection {
    /// The stable slug: the same string in outcomes, problems, replies and metrics.
    pub fn slug(self) -> &'static str {
        match self {
            Self::ReferenceReused => "reference-reused",
            Self::EffectiveInFuture => "effective-in-future",
            Self::PeriodClosed => "period-closed",
            Self::OriginalNotFound => "original-not-found",
            Self::OriginalMismatch => "original-mismatch",
            Self::NotReversible => "not-reversible",
            Self::OriginalUndecided => "original-undecided",
            Self::NothingToReverse => "nothing-to-reverse",
            Self::ReverseExceedsOriginal => "reverse-exceeds-original",
            Self::BalanceExists => "balance-exists",
            Self::BalanceNotFound => "balance-not-found",
            Self::SystemBalance => "system-balance",
            Self::AssetMismatch => "asset-mismatch",
            Self::BalanceClosed => "balance-closed",
            Self::BalanceFrozen => "balance-frozen",
            Self::VersionMismatch => "version-mismatch",
            Self::InsufficientFunds => "insufficient-funds",
            Self::CeilingExceeded => "ceiling-exceeded",
            Self::AmountOverflow => "amount-overflow",
            Self::LimitNotMet => "limit-not-met",
            Self::BalanceNotEmpty => "balance-not-empty",
            Self::HoldNotFound => "hold-not-found",
            Self::HoldPending => "hold-pending",
            Self::HoldExpired => "hold-expired",
            Self::HoldVoided => "hold-voided",
            Self::HoldSpent => "hold-spent",
            Self::AmountAmbiguous => "amount-ambiguous",
            Self::PostExceedsHold => "post-exceeds-hold",
        }
    }

    pub fn from_slug(slug: &str) -> Option<Self> {
        ALL.into_iter().find(|rejection| rejection.slug() == slug)
    }

    /// Whether the same request under a *new* reference could be accepted later without being
    /// changed, because the refusal depended on the state at the time.
    pub fn retry_may_succeed(self) -> bool {
        match self {
            Self::ReferenceReused
            | Self::PeriodClosed
            | Self::OriginalNotFound
            | Self::OriginalMismatch
            | Self::NotReversible
            | Self::ReverseExceedsOriginal
            | Self::BalanceExists
            | Self::SystemBalance
            | Self::AssetMismatch
            | Self::HoldNotFound
            | Self::HoldExpired
            | Self::HoldVoided
            | Self::HoldSpent
            | Self::AmountAmbiguous
            | Self::PostExceedsHold => false,
            Self::HoldPending
            | Self::OriginalUndecided
            | Self::NothingToReverse
            | Self::EffectiveInFuture
            | Self::BalanceNotFound
            | Self::BalanceClosed
            | Self::BalanceFrozen
            | Self::VersionMismatch
            | Self::InsufficientFunds
            | Self::CeilingExceeded
            | Self::AmountOverflow
            | Self::LimitNotMet
            | Self::BalanceNotEmpty => true,
        }
    }
}

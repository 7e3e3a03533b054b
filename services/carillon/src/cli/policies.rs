//! Flags of `account add` and `account set` about what an account may do, and who may reach it.

use clap::Args;

/// Policies of an account; those that are not named stay as they are.
#[derive(Debug, Args)]
pub struct Policies {
    /// Answer calls to the account with its contacts (302, or 300 for a choice) instead of forwarding them
    #[arg(long, value_name = "true|false")]
    pub redirect_only: Option<bool>,
    /// Say that it has moved there for good (301)
    #[arg(long, value_name = "true|false")]
    pub moved_permanently: Option<bool>,
    /// Who may reach the account, such as sip:alice@example.com,sip:+49*@example.com,sip:*@example.org; "" means everybody
    #[arg(long, value_name = "PATTERN,…", value_delimiter = ',')]
    pub allowed_callers: Option<Vec<String>>,
    /// Where others hear why they are refused, such as sip:screened@example.com: 403 with Error-Info; "" means 603
    #[arg(long, value_name = "URI")]
    pub refused_callers_info: Option<String>,
    /// Addresses that the account may put into From besides its own; "" means none
    #[arg(long, value_name = "AOR,…", value_delimiter = ',')]
    pub allowed_from: Option<Vec<String>>,
    /// Accounts that may register phones for this one; "" means none
    #[arg(long, value_name = "AOR,…", value_delimiter = ',')]
    pub registrars: Option<Vec<String>>,
    /// Most phones registered at a time; 0 means the server's number
    #[arg(long, value_name = "N")]
    pub max_bindings: Option<u32>,
    /// Most calls at a time, made and received together; 0 means any number
    #[arg(long, value_name = "N")]
    pub max_calls: Option<u32>,
    /// Most calls by trunks that it begins within a minute; 0 means any number
    #[arg(long, value_name = "N")]
    pub max_call_rate: Option<u32>,
    /// Numbers that the account may call by trunks, by their beginnings, as +49,+33; "" means what its domain allows
    #[arg(long, value_name = "DIGITS,…", value_delimiter = ',')]
    pub allowed_prefixes: Option<Vec<String>>,
    /// Numbers that the account may not call by trunks, as +49900; "" means none
    #[arg(long, value_name = "DIGITS,…", value_delimiter = ',')]
    pub denied_prefixes: Option<Vec<String>>,
}

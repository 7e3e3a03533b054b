//! Kamailio as the presence server of another domain: notifier of its users, and list server that watches users of others for them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The tables that its modules want to find, as Debian's package brings them for text files.
const TABLES: [&str; 8] =
    ["version", "presentity", "active_watchers", "watchers", "xcap", "pua", "rls_presentity", "rls_watchers"];
const SCHEMA: &str = "/usr/share/kamailio/dbtext/kamailio";
/// What its table of documents calls those that say which lists a user has.
const RLS_SERVICES: u32 = 8;

/// Puts its tables into a folder, with one list: of `owner`, at the URI `list`, with one member.
pub(super) fn write_tables(folder: &Path, domain: &str, (owner, list, member): (&str, &str, &str)) {
    let database = folder.join("db");
    fs::create_dir(&database).expect("the folder is ours");
    for table in TABLES {
        let schema = Path::new(SCHEMA).join(table);
        fs::copy(&schema, database.join(table))
            .expect("kamailio is installed with its tables for text files");
    }
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rls-services xmlns=\"urn:ietf:params:xml:ns:rls-services\" \
         xmlns:rl=\"urn:ietf:params:xml:ns:resource-lists\"><service uri=\"{list}\"><list><rl:entry uri=\"{member}\"/>\
         </list><packages><package>presence</package></packages></service></rls-services>"
    );
    let row = format!("1:{owner}:{domain}:{}:{RLS_SERVICES}:e:0:/lists:0\n", document.replace(':', "\\:"));
    let table = database.join("xcap");
    let head = fs::read_to_string(&table).expect("it was copied");
    fs::write(&table, head + &row).expect("the folder is ours");
}

/// What it is told to do.
pub(super) fn configuration(domain: &str, address: SocketAddr, neighbour: &str, folder: &Path) -> String {
    let modules = [
        "tm",
        "sl",
        "rr",
        "pv",
        "maxfwd",
        "textops",
        "siputils",
        "xlog",
        "db_text",
        "presence",
        "presence_xml",
        "pua",
        "rls",
    ];
    let modules: String = modules.iter().map(|name| format!("loadmodule \"{name}.so\"\n")).collect();
    let database = format!("text://{}", folder.join("db").display());
    let databases: String = ["presence", "presence_xml", "pua", "rls"]
        .iter()
        .map(|name| format!("modparam(\"{name}\", \"db_url\", \"{database}\")\n"))
        .collect();
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
alias="{domain}"
listen=udp:{address}
{modules}{databases}
modparam("presence", "server_address", "sip:presence@{address}")
modparam("presence_xml", "force_active", 1)
modparam("rls", "server_address", "sip:rls@{address}")
modparam("rls", "integrated_xcap_server", 1)
modparam("rls", "to_presence_code", 10)
modparam("rls", "outbound_proxy", "sip:{neighbour}")
modparam("rls", "waitn_time", 1)
request_route {{
    if (!mf_process_maxfwd_header("20")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (has_totag() && !(uri == myself)) {{
        if (loose_route()) {{ t_relay(); exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    if (uri == myself && is_method("PUBLISH|SUBSCRIBE|NOTIFY")) {{
        if (!t_newtran()) {{ sl_reply_error(); exit; }}
        if (is_method("PUBLISH")) {{ handle_publish(); }}
        else if (is_method("NOTIFY")) {{ rls_handle_notify(); }}
        else {{
            rls_handle_subscribe();
            if ($rc == 10) {{ handle_subscribe(); }}
        }}
        t_release();
        exit;
    }}
    $du = "sip:{neighbour}";
    t_relay();
}}
event_route[core:worker-one-init] {{
    xlog("L_ALERT", "ready to route\n");
}}
"#
    )
}

//! Kamailio between phones and an edge: it adds itself to Path (RFC 3327), and leads along Route.

use std::net::SocketAddr;

pub(super) fn configuration(address: SocketAddr, neighbour: &str) -> String {
    let modules = ["tm", "sl", "rr", "pv", "maxfwd", "path", "textops", "siputils", "xlog"];
    let modules: String = modules.iter().map(|name| format!("loadmodule \"{name}.so\"\n")).collect();
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{address}
{modules}
request_route {{
    if (!mf_process_maxfwd_header("20")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
        sl_send_reply("404", "Not Here");
        exit;
    }}
    t_check_trans();
    if (is_method("INVITE")) {{ record_route(); }}
    if (is_method("REGISTER")) {{ add_path(); }}
    # of the last Route loose_route() says that it led nowhere
    if (is_present_hf("Route")) {{ loose_route(); }} else {{ $du = "sip:{neighbour}"; }}
    t_relay();
}}
event_route[core:worker-one-init] {{
    xlog("L_ALERT", "ready to route\n");
}}
"#
    )
}

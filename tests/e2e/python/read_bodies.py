#!/usr/bin/env python3
"""Reads what subscriptions are told with parsers that nobody here wrote, and holds it against the rules of the RFCs' schemas.

Takes a list of {"type", "body"} in JSON on standard input, prints one line for each document that is right, and ends with what is wrong
with the first that is not. A multipart is taken apart by the parser of mail; its Content-IDs have to fit those that the list names."""

import email
import email.policy
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

NUMBER = r"[0-9]+"
SOME = r".+"
ANY = r".*"
STATE = "full|partial|deleted"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
URI = r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+"
NAME = r"[A-Za-z_][\w.-]*"
LANG = {"{http://www.w3.org/XML/1998/namespace}lang?": ANY}
EVENTS = "subscribe|approved|deactivated|probation|rejected|timeout|giveup|noresource"
CONTACT = "registered|created|refreshed|shortened|expired|deactivated|probation|unregistered|rejected"
ENDED = "cancelled|rejected|replaced|local-bye|remote-bye|error|timeout"
STATUS = "pending|dialing-out|dialing-in|alerting|on-hold|connected|muted-via-focus|disconnecting|disconnected"
PARTY = ("identity? target? session-description? cseq?", {})

# Of each element: its children in order ("~" is one of another namespace), its attributes ("?" marks those that may be missing), its text.
SCHEMAS = {
    # RFC 3863 4.4
    "application/pidf+xml": ("urn:ietf:params:xml:ns:pidf", "presence", {
        "presence": ("tuple* note* ~*", {"entity": URI}),
        "tuple": ("status ~* contact? note* timestamp?", {"id": NAME}),
        "status": ("basic? ~*", {}),
        "basic": ("", {}, "open|closed"),
        "contact": ("", {"priority?": r"0(\.\d{0,3})?|1(\.0{0,3})?"}, URI),
        "note": ("", LANG, ANY),
        "timestamp": ("", {}, TIME),
    }),
    # RFC 3858 5
    "application/watcherinfo+xml": ("urn:ietf:params:xml:ns:watcherinfo", "watcherinfo", {
        "watcherinfo": ("watcher-list* ~*", {"version": NUMBER, "state": "full|partial"}),
        "watcher-list": ("watcher* ~*", {"resource": URI, "package": NAME}),
        "watcher": ("", {"id": SOME, "status": "pending|active|waiting|terminated", "event": EVENTS, "display-name?": ANY,
                         "expiration?": NUMBER, "duration-subscribed?": NUMBER, **LANG}, URI),
    }),
    # RFC 3680 5.4
    "application/reginfo+xml": ("urn:ietf:params:xml:ns:reginfo", "reginfo", {
        "reginfo": ("registration* ~*", {"version": NUMBER, "state": "full|partial"}),
        "registration": ("contact* ~*", {"aor": URI, "id": SOME, "state": "init|active|terminated"}),
        "contact": ("uri display-name? unknown-param* ~*", {
            "id": SOME, "state": "active|terminated", "event": CONTACT, "duration-registered?": NUMBER, "expires?": NUMBER,
            "retry-after?": NUMBER, "q?": r"\d(\.\d+)?", "callid?": SOME, "cseq?": NUMBER}),
        "uri": ("", {}, URI),
        "display-name": ("", LANG, ANY),
        "unknown-param": ("", {"name": SOME}, ANY),
    }),
    # RFC 4235 4.4
    "application/dialog-info+xml": ("urn:ietf:params:xml:ns:dialog-info", "dialog-info", {
        "dialog-info": ("dialog* ~*", {"version": NUMBER, "state": "full|partial", "entity": URI}),
        "dialog": ("state duration? replaces? referred-by? route-set? local? remote? ~*", {
            "id": SOME, "call-id?": SOME, "local-tag?": SOME, "remote-tag?": SOME, "direction?": "initiator|recipient"}),
        "state": ("", {"event?": ENDED, "code?": r"[1-6]\d\d"}, "trying|proceeding|early|confirmed|terminated"),
        "local": PARTY,
        "remote": PARTY,
        "identity": ("", {"display?": ANY}, URI),
        "target": ("param*", {"uri": URI}),
        "param": ("", {"pname": SOME, "pval": ANY}),
    }),
    # RFC 4575 6
    "application/conference-info+xml": ("urn:ietf:params:xml:ns:conference-info", "conference-info", {
        "conference-info": ("conference-description? host-info? conference-state? users? sidebars-by-ref? sidebars-by-val? ~*",
                            {"entity": URI, "state?": STATE, "version?": NUMBER}),
        "conference-description": ("display-text? subject? free-text? keywords? conf-uris? service-uris? maximum-user-count? "
                                   "available-media? ~*", {"state?": STATE}),
        "conference-state": ("user-count? active? locked? ~*", {}),
        "user-count": ("", {}, NUMBER),
        "maximum-user-count": ("", {}, NUMBER),
        "active": ("", {}, "true|false|0|1"),
        "locked": ("", {}, "true|false|0|1"),
        "users": ("user* ~*", {"state?": STATE}),
        "user": ("display-text? associated-aors? roles? languages? cascaded-focus? endpoint* ~*", {"entity": URI, "state?": STATE}),
        "roles": ("entry+", {"state?": STATE}),
        "entry": ("", {}, ANY),
        "display-text": ("", {}, ANY),
        "subject": ("", {}, ANY),
        "endpoint": ("display-text? referred? status? joining-method? joining-info? disconnection-method? disconnection-info? media* "
                     "call-info? ~*", {"entity": SOME, "state?": STATE}),
        "status": ("", {}, STATUS + "|sendrecv|sendonly|recvonly|inactive"),
        "joining-method": ("", {}, "dialed-in|dialed-out|focus-owner"),
        "joining-info": ("when? reason? by? ~*", {}),
        "when": ("", {}, TIME),
        "media": ("display-text? type? label? src-id? status? ~*", {"id": SOME, "state?": STATE}),
        "type": ("", {}, SOME),
        "call-info": ("sip ~*", {}),
        "sip": ("display-text? call-id from-tag to-tag ~*", {}),
        "call-id": ("", {}, SOME),
        "from-tag": ("", {}, SOME),
        "to-tag": ("", {}, ANY),
    }),
    # RFC 4662 5.2
    "application/rlmi+xml": ("urn:ietf:params:xml:ns:rlmi", "list", {
        "list": ("name* resource*", {"uri": URI, "version": NUMBER, "fullState": "true|false|0|1", "cid?": SOME}),
        "resource": ("name* instance*", {"uri": URI}),
        "instance": ("~*", {"id": SOME, "state": "active|pending|terminated", "reason?": SOME, "cid?": SOME}),
        "name": ("", LANG, ANY),
    }),
}


def fail(text):
    sys.exit(text)


def check(element, namespace, rules, path):
    name = element.tag.removeprefix("{%s}" % namespace)
    path = f"{path}/{name}"
    rule = rules.get(name) or fail(f"{path}: no such element")
    children, attributes, text = (*rule, None)[:3]
    inner = [child.tag for child in element]
    names = [tag.removeprefix("{%s}" % namespace) if tag.startswith("{%s}" % namespace) else "~" for tag in inner]
    marked = [re.fullmatch(r"(.+?)([*+?]?)", child) for child in children.split()]
    model = "".join(f"(?:{re.escape(child[1])} ){child[2]}" for child in marked)
    re.fullmatch(model, "".join(f"{name} " for name in names)) or fail(f"{path} holds {names}, not {children!r}")
    for key, pattern in attributes.items():
        value = element.get(key.rstrip("?"))
        if value is None:
            key.endswith("?") or fail(f"{path} has no {key}")
        else:
            re.fullmatch(pattern, value, re.S) or fail(f"{path}: {key} is {value!r}")
    for key in element.keys():
        key in attributes or key + "?" in attributes or key.startswith("{") or fail(f"{path}: attribute {key}")
    said = (element.text or "").strip()
    re.fullmatch(text or "", said, re.S) or fail(f"{path} says {said!r}")
    for child, name in zip(element, names):
        (child.tail or "").strip() and fail(f"{path}: text between its elements")
        if name != "~":
            check(child, namespace, rules, path)


def unique(kind, root):
    """What has to be there once. RFC 3863 4.1.2, 4662 5.5, 4575 5.6"""
    for path, key in [(".//{*}tuple", "id"), (".//{*}watcher", "id"), (".//{*}dialog", "id"), (".//{*}user", "entity")]:
        found = [element.get(key) for element in root.findall(path)]
        len(found) == len(set(found)) or fail(f"{kind}: {key} {found} more than once")


def read(kind, content):
    if kind not in SCHEMAS:
        fail(f"a body of type {kind}")
    namespace, root_name, rules = SCHEMAS[kind]
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        fail(f"{kind}: {error}: {content!r}")
    root.tag == "{%s}%s" % (namespace, root_name) or fail(f"{kind}: the root is {root.tag}")
    check(root, namespace, rules, "")
    unique(kind, root)
    print(kind)
    return root


def read_part(part):
    if part.get_content_type() != "multipart/related":
        return read(part.get_content_type(), part.get_payload(decode=True))
    parts = list(part.iter_parts())
    start = part.get_param("start")
    start is None or start == parts[0]["Content-ID"] or fail(f"start is {start}, the first part {parts[0]['Content-ID']}")
    part.get_param("type") == "application/rlmi+xml" or fail(f"type is {part.get_param('type')}")
    root = read_part(parts[0])
    there = {inner["Content-ID"].strip("<>") for inner in parts[1:]}
    named = {instance.get("cid") for instance in root.findall(".//{*}instance") if instance.get("cid")}
    there == named or fail(f"parts {there}, and the list names {named}")
    for inner in parts[1:]:
        read_part(inner)
    return root


for told in json.load(sys.stdin):
    text = f"MIME-Version: 1.0\r\nContent-Type: {told['type']}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{told['body']}"
    read_part(email.message_from_bytes(text.encode(), policy=email.policy.SMTP))

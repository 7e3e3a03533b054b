// sipload: SIP over UDP from one core, fast enough to fill a server on another one.
//
//   sipload register|digest|call|message PORT [RATE SECONDS WINDOW USERS CALLEE]
//   sipload answer PORT SECONDS
//   sipload phones PORT
//
// register  REGISTER, 200                              digest  REGISTER, 401, REGISTER with MD5, 200
// call      INVITE, 180, 200, ACK, BYE, 200, through the server, following its Record-Route
// message   MESSAGE, 200, through the server
// answer    the callee of all calls and messages: 180 and 200 to INVITE, 200 to the rest
// phones    the two parties of calls that are dialled for them: the same; an offer without media lines is answered without, and an INVITE with
//           `X-Bench: N` writes a line `N SECONDS` (CLOCK_MONOTONIC) when it comes first. Until its input ends; then one line of JSON
//
// RATE 0 keeps WINDOW requests under way (how much the server can do); any other RATE starts that many a second
// (what an answer takes at that load). User i is uNNNNNN@bench.example, password "secret"; user i calls user
// i + USERS/2, or writes to it. Registrations come from the port CALLEE and point at it, as phones do: no callee may run meanwhile. Nothing is
// repeated: what has no final answer after two seconds is lost. Talks to 127.0.0.1 only. Prints one line of JSON.
#define _GNU_SOURCE
#include <poll.h>
#include <unistd.h>
#include "wire.h"

#define DOMAIN "bench.example"
enum { SLOTS = 1 << 16, SLOWEST = 1000000 };

// What a request under way waits for; the letter stands behind the number in its branch. The run stands at the end: a branch
// that came before within half a minute would be a repetition.
enum phase { FREE = 0, FIRST = 'f', AUTHORIZED = 'a', BYE_SENT = 'b' };

static struct {
    double begun;
    uint32_t number;
    char phase;
} pending[SLOTS];

static struct outbox out;
static struct inbox in;
static enum { REGISTER, DIGEST, CALL, MESSAGE } kind;
static int my_port, callee_port, users;
static uint32_t run;
static unsigned long done_well, done_badly, lost, last_bad;
static uint32_t took[SLOWEST + 1]; // histogram of microseconds

static const char offer[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                            "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
                            "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";

static const char note[] = "Dinner is ready, and there is enough of it for everybody.";

static void send_register(uint32_t number, char phase, const char *authorization) {
    int user = (int)(number % (uint32_t)users);
    uint32_t sequence = 1 + 2 * (number / (uint32_t)users) + (phase == AUTHORIZED);
    char *to = outbox_room(&out);
    int length = snprintf(to, LARGEST,
        "REGISTER sip:" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKn%08x%c%08x\r\nMax-Forwards: 70\r\n"
        "From: <sip:u%06d@" DOMAIN ">;tag=t%x\r\nTo: <sip:u%06d@" DOMAIN ">\r\nCall-ID: %08x-%d@127.0.0.1\r\n"
        "CSeq: %u REGISTER\r\n%sContact: <sip:u%06d@127.0.0.1:%d>;expires=3600\r\nUser-Agent: sipload\r\nContent-Length: 0\r\n\r\n",
        my_port, number, phase, run, user, number, user, run, user, sequence, authorization, user, callee_port);
    outbox_add(&out, (size_t)length, NULL);
}

static void send_invite(uint32_t number) {
    int caller = (int)(number % (uint32_t)users), callee = (caller + users / 2) % users;
    char *to = outbox_room(&out);
    int length = snprintf(to, LARGEST,
        "INVITE sip:u%06d@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKn%08x%c%08x\r\nMax-Forwards: 70\r\n"
        "From: <sip:u%06d@" DOMAIN ">;tag=t%x\r\nTo: <sip:u%06d@" DOMAIN ">\r\nCall-ID: %08x-%08x@127.0.0.1\r\n"
        "CSeq: 1 INVITE\r\nContact: <sip:u%06d@127.0.0.1:%d>\r\nUser-Agent: sipload\r\n"
        "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
        callee, my_port, number, FIRST, run, caller, number, callee, run, number, caller, my_port, (int)sizeof offer - 1, offer);
    outbox_add(&out, (size_t)length, NULL);
}

static void send_message(uint32_t number) {
    int from = (int)(number % (uint32_t)users), to_user = (from + users / 2) % users;
    char *to = outbox_room(&out);
    int length = snprintf(to, LARGEST,
        "MESSAGE sip:u%06d@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKn%08x%c%08x\r\nMax-Forwards: 70\r\n"
        "From: <sip:u%06d@" DOMAIN ">;tag=t%x\r\nTo: <sip:u%06d@" DOMAIN ">\r\nCall-ID: %08x-%08x@127.0.0.1\r\n"
        "CSeq: 1 MESSAGE\r\nUser-Agent: sipload\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
        to_user, my_port, number, FIRST, run, from, number, to_user, run, number, (int)sizeof note - 1, note);
    outbox_add(&out, (size_t)length, NULL);
}

// Record-Route of a response becomes Route, last one first.
static int routes_of(const char *message, char *room, int size) {
    struct slice found[8];
    int count = 0, length = 0;
    for (struct slice line = next_line(after_line(next_line(message))); line.length && count < 8; line = next_line(after_line(line)))
        if (is_header(line, "Record-Route")) found[count++] = value_of(line, "Record-Route");
    while (count-- > 0 && length < size - found[count].length - 10)
        length += snprintf(room + length, (size_t)(size - length), "Route: %.*s\r\n", found[count].length, found[count].text);
    return length;
}

static int send_in_dialog(uint32_t number, const char *answer, const char *method, int sequence, char phase) {
    char routes[1024] = "";
    struct slice peer = header(answer, "To"), contact = header(answer, "Contact");
    const char *open = contact.text ? memchr(contact.text, '<', (size_t)contact.length) : NULL;
    const char *close = open ? strchr(open, '>') : NULL;
    if (!peer.text || !close) return 0;
    routes_of(answer, routes, sizeof routes);
    int caller = (int)(number % (uint32_t)users);
    char *to = outbox_room(&out);
    int length = snprintf(to, LARGEST,
        "%s %.*s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKn%08x%c%08x\r\nMax-Forwards: 70\r\n%s"
        "From: <sip:u%06d@" DOMAIN ">;tag=t%x\r\nTo: %.*s\r\nCall-ID: %08x-%08x@127.0.0.1\r\nCSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
        method, (int)(close - open - 1), open + 1, my_port, number, phase, run, routes, caller, number, peer.length, peer.text,
        run, number, sequence, method);
    outbox_add(&out, (size_t)length, NULL);
    return 1;
}

static struct slice quoted(struct slice value, const char *name) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s=\"", name);
    const char *at = memmem(value.text, (size_t)value.length, wanted, strlen(wanted));
    if (!at) return (struct slice){NULL, 0};
    at += strlen(wanted);
    return (struct slice){at, (int)strcspn(at, "\"")};
}

// Credentials for the MD5 challenge of a 401; 0 when it holds none.
static int authorize(uint32_t number, const char *challenge, char *room, int size) {
    struct slice value = {NULL, 0};
    for (struct slice line = next_line(after_line(next_line(challenge))); line.length; line = next_line(after_line(line)))
        if (is_header(line, "WWW-Authenticate") && !memmem(line.text, (size_t)line.length, "algorithm=SHA", 13)) value = value_of(line, "WWW-Authenticate");
    if (!value.text) return 0;
    struct slice realm = quoted(value, "realm"), nonce = quoted(value, "nonce"), opaque = quoted(value, "opaque");
    if (!realm.text || !nonce.text) return 0;
    int user = (int)(number % (uint32_t)users);
    char text[900], secret[33], request[33], response[33], kept[300] = "";
    md5_hex(text, (size_t)snprintf(text, sizeof text, "u%06d:%.*s:secret", user, realm.length, realm.text), secret);
    md5_hex(text, (size_t)snprintf(text, sizeof text, "REGISTER:sip:" DOMAIN), request);
    md5_hex(text, (size_t)snprintf(text, sizeof text, "%s:%.*s:00000001:%08x:auth:%s", secret, nonce.length, nonce.text, number, request), response);
    if (opaque.text) snprintf(kept, sizeof kept, ",opaque=\"%.*s\"", opaque.length, opaque.text);
    snprintf(room, (size_t)size,
        "Authorization: Digest username=\"u%06d\",realm=\"%.*s\",nonce=\"%.*s\",uri=\"sip:" DOMAIN "\",response=\"%s\","
        "algorithm=MD5,qop=auth,nc=00000001,cnonce=\"%08x\"%s\r\n",
        user, realm.length, realm.text, nonce.length, nonce.text, response, number, kept);
    return 1;
}

static void finish(uint32_t slot, int well, double now) {
    double micros = (now - pending[slot].begun) * 1e6;
    took[micros < SLOWEST ? (int)micros : SLOWEST]++;
    pending[slot].phase = FREE;
    if (well) done_well++; else done_badly++;
}

static void take_answer(const char *message, double now) {
    char credentials[1024];
    const char *branch = strstr(message, "z9hG4bKn");
    int status = strncmp(message, "SIP/2.0 ", 8) ? 0 : atoi(message + 8);
    if (!branch || status < 200) return;
    char digits[9] = {0}, phase = branch[16];
    memcpy(digits, branch + 8, 8);
    uint32_t number = (uint32_t)strtoul(digits, NULL, 16), slot = number % SLOTS;
    if (pending[slot].phase != phase || pending[slot].number != number) return; // answered before, or given up
    if (status == 401 && kind == DIGEST && phase == FIRST && authorize(number, message, credentials, sizeof credentials)) {
        pending[slot].phase = AUTHORIZED;
        send_register(number, AUTHORIZED, credentials);
    } else if (status >= 300) {
        last_bad = (unsigned long)status;
        finish(slot, 0, now);
    } else if (kind == CALL && phase == FIRST) {
        pending[slot].phase = BYE_SENT;
        if (!send_in_dialog(number, message, "ACK", 1, 'k') || !send_in_dialog(number, message, "BYE", 2, BYE_SENT)) finish(slot, 0, now);
    } else {
        finish(slot, 1, now);
    }
}

static void start(uint32_t number, double now) {
    uint32_t slot = number % SLOTS;
    pending[slot].begun = now;
    pending[slot].number = number;
    pending[slot].phase = FIRST;
    switch (kind) {
    case CALL: send_invite(number); break;
    case MESSAGE: send_message(number); break;
    case REGISTER:
    case DIGEST: send_register(number, FIRST, ""); break;
    }
}

static int percentile(double share) {
    unsigned long all = 0, seen = 0;
    for (int i = 0; i <= SLOWEST; i++) all += took[i];
    for (int i = 0; i <= SLOWEST; i++) {
        seen += took[i];
        if (all && (double)seen >= share * (double)all) return i;
    }
    return 0;
}

static int ask(int server, double rate, double length, uint32_t window) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    out.socket = bound_socket(kind == CALL || kind == MESSAGE ? 0 : callee_port);
    my_port = port_of(out.socket);
    if (connect(out.socket, (struct sockaddr *)&there, sizeof there)) return 1;
    run = (uint32_t)(seconds(CLOCK_REALTIME) * 1000.0);
    uint32_t head = 0, tail = 0;
    double begun = seconds(CLOCK_MONOTONIC), end = begun + length, now = begun;
    while (now < end + 2.5) {
        if (now < end) {
            long due = rate > 0 ? (long)((now - begun) * rate) - (long)head : (long)window;
            for (int burst = 0; due > 0 && burst < 4 * BATCH && head - tail < window; burst++, due--) start(head++, now);
        } else if (tail == head) {
            break;
        }
        outbox_send(&out);
        int taken = inbox_take(&in, out.socket, MSG_DONTWAIT);
        now = seconds(CLOCK_MONOTONIC);
        for (int i = 0; i < taken; i++) take_answer(in.bytes[i], now);
        outbox_send(&out);
        for (; tail != head; tail++) {
            uint32_t slot = tail % SLOTS;
            if (pending[slot].phase == FREE) continue;
            if (now - pending[slot].begun < 2.0) break;
            pending[slot].phase = FREE;
            lost++;
        }
        if (taken <= 0) nanosleep(&(struct timespec){0, 50000}, NULL);
    }
    double lasted = (now < end ? now : end) - begun, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    printf("{\"done\": %lu, \"failed\": %lu, \"lost\": %lu, \"last_failure\": %lu, \"rate\": %.1f, \"p50_us\": %d, \"p99_us\": %d, \"load_busy\": %.2f}\n",
        done_well, done_badly, lost, last_bad, (double)done_well / lasted, percentile(0.5), percentile(0.99), cpu / lasted);
    return 0;
}

static const char no_media[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";

// The session that goes with a 200: who is offered no media line answers with none.
static const char *session_for(const char *invite) {
    const char *body = strstr(invite, "\r\n\r\n");
    return body && body[4] && !strstr(body, "\nm=") ? no_media : offer;
}

static size_t answer_to(const char *request, const char *status, int is_invite, char *room) {
    size_t length = (size_t)snprintf(room, LARGEST, "SIP/2.0 %s\r\n", status);
    for (struct slice line = next_line(after_line(next_line(request))); line.length; line = next_line(after_line(line))) {
        int is_to = is_header(line, "To");
        if (!is_to && !is_header(line, "Via") && !is_header(line, "From") && !is_header(line, "Call-ID") && !is_header(line, "CSeq") &&
            !is_header(line, "Record-Route"))
            continue;
        int tagged = !is_to || memmem(line.text, (size_t)line.length, ";tag=", 5);
        length += (size_t)snprintf(room + length, LARGEST - length, "%.*s%s\r\n", line.length, line.text, tagged ? "" : ";tag=callee");
    }
    if (is_invite) length += (size_t)snprintf(room + length, LARGEST - length, "Contact: <sip:callee@127.0.0.1:%d>\r\n", my_port);
    const char *body = is_invite && status[0] == '2' ? session_for(request) : "";
    if (*body) length += (size_t)snprintf(room + length, LARGEST - length, "Content-Type: application/sdp\r\n");
    return length + (size_t)snprintf(room + length, LARGEST - length, "Content-Length: %d\r\n\r\n%s", (int)strlen(body), body);
}

static void reply(int i, const char *status, int is_invite) {
    char *room = outbox_room(&out);
    outbox_add(&out, answer_to(in.bytes[i], status, is_invite, room), &in.from[i]);
}

static int is_in_dialog(const char *request) {
    struct slice to = header(request, "To");
    return to.text && memmem(to.text, (size_t)to.length, ";tag=", 5) != NULL;
}

// Both parties of dialled calls, until nobody holds the other end of standard input.
static int phones(int port) {
    out.socket = bound_socket(port);
    my_port = port;
    unsigned long invites = 0, acks = 0, byes = 0;
    struct pollfd ready[] = {{out.socket, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    while (poll(ready, 2, -1) > 0 && !ready[1].revents) {
        int taken = inbox_take(&in, out.socket, MSG_DONTWAIT);
        double now = seconds(CLOCK_MONOTONIC);
        for (int i = 0; i < taken; i++) {
            const char *request = in.bytes[i];
            acks += !strncmp(request, "ACK ", 4);
            byes += !strncmp(request, "BYE ", 4);
            if (!strncmp(request, "SIP/", 4) || !strncmp(request, "ACK ", 4)) continue;
            int is_invite = !strncmp(request, "INVITE ", 7);
            if (is_invite && !is_in_dialog(request)) {
                struct slice number = header(request, "X-Bench");
                if (number.text) printf("%.*s %.6f\n", number.length, number.text, now);
                invites++;
                reply(i, "180 Ringing", 1);
            }
            reply(i, "200 OK", is_invite);
        }
        outbox_send(&out);
        if (taken > 0) fflush(stdout);
    }
    printf("{\"invites\": %lu, \"acks\": %lu, \"byes\": %lu}\n", invites, acks, byes);
    return 0;
}

static int answer(int port, double length) {
    out.socket = bound_socket(port);
    my_port = port;
    struct timeval wait = {0, 200000};
    setsockopt(out.socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    double end = seconds(CLOCK_MONOTONIC) + length;
    while (seconds(CLOCK_MONOTONIC) < end) {
        int taken = inbox_take(&in, out.socket, MSG_WAITFORONE);
        for (int i = 0; i < taken; i++) {
            const char *request = in.bytes[i];
            if (!strncmp(request, "SIP/", 4) || !strncmp(request, "ACK ", 4)) continue;
            int is_invite = !strncmp(request, "INVITE ", 7);
            if (is_invite) reply(i, "180 Ringing", 1);
            reply(i, "200 OK", is_invite);
        }
        outbox_send(&out);
    }
    return 0;
}

int main(int count, char **word) {
    if (count == 4 && !strcmp(word[1], "answer")) return answer(atoi(word[2]), atof(word[3]));
    if (count == 3 && !strcmp(word[1], "phones")) return phones(atoi(word[2]));
    if (count != 8) {
        fprintf(stderr, "usage: sipload register|digest|call|message PORT RATE SECONDS WINDOW USERS CALLEE | sipload answer PORT SECONDS | sipload phones PORT\n");
        return 2;
    }
    if (!strcmp(word[1], "register")) kind = REGISTER;
    else if (!strcmp(word[1], "digest")) kind = DIGEST;
    else if (!strcmp(word[1], "call")) kind = CALL;
    else if (!strcmp(word[1], "message")) kind = MESSAGE;
    else return 2;
    md5_init();
    uint32_t window = (uint32_t)atoi(word[5]);
    users = atoi(word[6]);
    callee_port = atoi(word[7]);
    if (users < 2 || window < 1 || window >= SLOTS / 2) {
        fprintf(stderr, "sipload: USERS from 2 on, WINDOW from 1 to %d\n", SLOTS / 2 - 1);
        return 2;
    }
    return ask(atoi(word[2]), atof(word[3]), atof(word[4]), window);
}

// Datagrams in batches, text that grows, and headers of a message: what caller and callee share.
#pragma once
#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include "md5.h"

enum { BATCH = 64, LARGEST = 2048 };

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// Outgoing datagrams, sent together.
struct outbox {
    int socket, count;
    char bytes[BATCH][LARGEST];
    struct sockaddr_in to[BATCH];
    struct iovec part[BATCH];
    struct mmsghdr message[BATCH];
};

static void outbox_send(struct outbox *box) {
    for (int sent = 0; sent < box->count;) {
        int now = sendmmsg(box->socket, box->message + sent, (unsigned)(box->count - sent), 0);
        if (now <= 0) break; // the rest counts as lost, like a full queue on the way
        sent += now;
    }
    box->count = 0;
}

// Room for one datagram; commit it with outbox_add.
static char *outbox_room(struct outbox *box) {
    if (box->count == BATCH) outbox_send(box);
    return box->bytes[box->count];
}

static void outbox_add(struct outbox *box, size_t length, const struct sockaddr_in *to) {
    int i = box->count++;
    box->part[i] = (struct iovec){box->bytes[i], length};
    memset(&box->message[i], 0, sizeof box->message[i]);
    box->message[i].msg_hdr.msg_iov = &box->part[i];
    box->message[i].msg_hdr.msg_iovlen = 1;
    if (to) {
        box->to[i] = *to;
        box->message[i].msg_hdr.msg_name = &box->to[i];
        box->message[i].msg_hdr.msg_namelen = sizeof box->to[i];
    }
}

// Incoming datagrams, taken together.
struct inbox {
    char bytes[BATCH][LARGEST + 1];
    struct sockaddr_in from[BATCH];
    struct iovec part[BATCH];
    struct mmsghdr message[BATCH];
};

static int inbox_take(struct inbox *box, int socket, int flags) {
    for (int i = 0; i < BATCH; i++) {
        box->part[i] = (struct iovec){box->bytes[i], LARGEST};
        memset(&box->message[i], 0, sizeof box->message[i]);
        box->message[i].msg_hdr.msg_iov = &box->part[i];
        box->message[i].msg_hdr.msg_iovlen = 1;
        box->message[i].msg_hdr.msg_name = &box->from[i];
        box->message[i].msg_hdr.msg_namelen = sizeof box->from[i];
    }
    int taken = recvmmsg(socket, box->message, BATCH, flags, NULL);
    for (int i = 0; i < taken; i++) box->bytes[i][box->message[i].msg_len] = 0;
    return taken;
}

static int bound_socket(int port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
    setsockopt(made, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(made, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (made < 0 || bind(made, (struct sockaddr *)&here, sizeof here)) {
        perror("sipload: bind");
        exit(1);
    }
    return made;
}

static int port_of(int socket) {
    struct sockaddr_in here;
    socklen_t size = sizeof here;
    getsockname(socket, (struct sockaddr *)&here, &size);
    return ntohs(here.sin_port);
}

// A piece of a message.
struct slice {
    const char *text;
    int length;
};

// The next header line after `at` (the start of a line); length 0 at the empty line.
static struct slice next_line(const char *at) {
    return (struct slice){at, (int)strcspn(at, "\r\n")};
}

static const char *after_line(struct slice line) {
    const char *end = line.text + line.length;
    if (*end == '\r') end++;
    if (*end == '\n') end++;
    return end;
}

static int is_header(struct slice line, const char *name) {
    size_t length = strlen(name);
    return (size_t)line.length > length && !strncasecmp(line.text, name, length) && line.text[length] == ':';
}

static struct slice value_of(struct slice line, const char *name) {
    int skip = (int)strlen(name) + 1;
    while (skip < line.length && line.text[skip] == ' ') skip++;
    return (struct slice){line.text + skip, line.length - skip};
}

// The value of the first header of that name; text is NULL when there is none.
static struct slice header(const char *message, const char *name) {
    for (struct slice line = next_line(after_line(next_line(message))); line.length; line = next_line(after_line(line)))
        if (is_header(line, name)) return value_of(line, name);
    return (struct slice){NULL, 0};
}

// MD5 (RFC 1321) of short strings, as digest authentication needs it. Constants are computed once, as the RFC defines them.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t md5_sine[64];

static void md5_init(void) {
    for (int i = 0; i < 64; i++) md5_sine[i] = (uint32_t)(4294967296.0 * fabs(sin(i + 1.0)));
}

static void md5_block(uint32_t state[4], const uint8_t block[64]) {
    static const uint8_t shift[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t word[16], a = state[0], b = state[1], c = state[2], d = state[3];
    memcpy(word, block, 64);
    for (int step = 0; step < 64; step++) {
        int round = step / 16, index;
        uint32_t mixed;
        switch (round) {
        case 0: mixed = (b & c) | (~b & d); index = step; break;
        case 1: mixed = (d & b) | (~d & c); index = (5 * step + 1) % 16; break;
        case 2: mixed = b ^ c ^ d; index = (3 * step + 5) % 16; break;
        default: mixed = c ^ (b | ~d); index = (7 * step) % 16; break;
        }
        uint32_t sum = a + mixed + md5_sine[step] + word[index];
        int left = shift[round][step % 4];
        a = d, d = c, c = b;
        b += (sum << left) | (sum >> (32 - left));
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

// Writes 32 hexadecimal digits and a terminating zero. `length` is at most 1000.
static void md5_hex(const char *text, size_t length, char out[33]) {
    uint8_t padded[1088] = {0};
    size_t whole = (length + 8) / 64 * 64 + 64;
    uint64_t bits = (uint64_t)length * 8;
    memcpy(padded, text, length);
    padded[length] = 0x80;
    memcpy(padded + whole - 8, &bits, 8);
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    for (size_t at = 0; at < whole; at += 64) md5_block(state, padded + at);
    const uint8_t *bytes = (const uint8_t *)state;
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

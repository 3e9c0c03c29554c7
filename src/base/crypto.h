/* Digests and comparison in constant time, over libcrypto. */
#pragma once

#include "base/str.h"

struct buf;

#define SHA256_SIZE 32

void crypto_sha256(str_t s, uint8_t out[SHA256_SIZE]);
/* HMAC with SHA-256 over the parts, one after the other. */
void crypto_hmac_sha256(str_t key, const str_t *parts, size_t n, uint8_t out[SHA256_SIZE]);
/* Lower-case hex of n bytes, in the arena. */
str_t crypto_hex(struct arena *a, const uint8_t *p, size_t n);
bool crypto_equal(const void *a, const void *b, size_t n);
/* CRC-32C of the bytes, continuing from crc (0 at first). */
uint32_t crypto_crc32c(uint32_t crc, const void *p, size_t n);
/* Standard base64 with padding. */
void base64_put(struct buf *b, str_t s);
str_t base64_encode(struct arena *a, str_t s);
/* Unpadded URL alphabet. */
str_t base64url_encode(struct arena *a, str_t s);
/* Standard or URL alphabet, padding optional; false on other text. */
bool base64_decode(struct arena *a, str_t s, str_t *out);

/* CRC-32C: the instruction of the processor where there is one, eight bytes a step by tables
 * elsewhere. The tables are made once for the process. */
#include "base/crypto.h"

#include <pthread.h>
#include <string.h>

#include "base/crypto_priv.h"
#include "base/must.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void setup(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (size_t k = 1; k < 8; k++) {
        for (size_t i = 0; i < 256; i++)
            table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 255];
    }
}

uint32_t crc32c_table(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *at = p;

    must(pthread_once(&once, setup) == 0);
    crc = ~crc;
    for (; n >= 8; n -= 8, at += 8) {
        uint32_t next = 0;

        /* The first four bytes meet the running value; byte k still has 7 - k bytes behind it. */
        for (unsigned k = 0; k < 8; k++) {
            uint32_t old = k < 4 ? (crc >> (8 * k)) & 255 : 0;

            next ^= table[7 - k][at[k] ^ old];
        }
        crc = next;
    }
    for (; n != 0; n--, at++)
        crc = (crc >> 8) ^ table[0][(crc ^ *at) & 255];
    return ~crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *at = p;
    uint64_t wide = ~crc;

    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n != 0; n--, at++)
        crc = _mm_crc32_u8(crc, *at);
    return ~crc;
}

uint32_t crypto_crc32c(uint32_t crc, const void *p, size_t n)
{
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse(crc, p, n) : crc32c_table(crc, p, n);
}

#elif defined(__ARM_FEATURE_CRC32)

#include <arm_acle.h>

uint32_t crypto_crc32c(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *at = p;

    crc = ~crc;
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, sizeof(word));
        crc = __crc32cd(crc, word);
    }
    for (; n != 0; n--, at++)
        crc = __crc32cb(crc, *at);
    return ~crc;
}

#else

uint32_t crypto_crc32c(uint32_t crc, const void *p, size_t n)
{
    return crc32c_table(crc, p, n);
}

#endif

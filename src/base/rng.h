/* Random numbers. The default generator is seeded from the kernel; a seeded one repeats. Not
 * thread-safe: one per thread or per context. Secrets come from rng_secret only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *r);
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* Uniform below n; n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
/* Bytes from the kernel; aborts when there are none. */
void rng_secret(void *p, size_t n);

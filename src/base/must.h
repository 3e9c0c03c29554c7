/* Statements about our own code, the result attribute, and scope-bound cleanup. */
#pragma once

/* Says where must failed and aborts. */
void must_fail(const char *file, int line, const char *expr) __attribute__((noreturn));

/* States what only our own bug can break; stays on in release builds. Nothing that a client, a disk
 * or a peer sends may reach one. */
#define must(cond) ((cond) ? (void)0 : must_fail(__FILE__, __LINE__, #cond))

#define NODISCARD __attribute__((warn_unused_result))

/* Calls fn(&variable) when the variable leaves its scope. */
#define AUTO(fn) __attribute__((cleanup(fn)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

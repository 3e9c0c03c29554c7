/* What the tests of crypto compare. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* CRC-32C by tables, on any machine. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

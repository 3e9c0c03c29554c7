/* Injected faults for tests: the k-th call of this layer from now on fails with the given error, on
 * the calling thread's connections of either database. */
#pragma once

#include "base/err.h"

/* k = 1 is the next call; 0 switches it off. Counts begin, exec, query, row and commit. */
void db_fault_at(int64_t k, err_t err);
/* Calls counted since the last db_fault_at. */
int64_t db_fault_calls(void);

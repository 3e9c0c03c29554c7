/* Injected faults: a counter per thread, so that a test does not disturb its neighbours. */
#include "db/db_fault.h"

#include "db/db_priv.h"

static _Thread_local int64_t fault_left;
static _Thread_local int64_t fault_calls;
static _Thread_local err_t fault_err;

void db_fault_at(int64_t k, err_t err)
{
    must(k >= 0);
    fault_left = k;
    fault_err = err;
    fault_calls = 0;
}

int64_t db_fault_calls(void)
{
    return fault_calls;
}

err_t db_fault_next(void)
{
    fault_calls++;
    if (fault_left == 0)
        return ERR_OK;
    fault_left--;
    return fault_left == 0 ? fault_err : ERR_OK;
}

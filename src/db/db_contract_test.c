/* Runs the contract suite of db.h on a SQLite file, in memory, and on the PostgreSQL that
 * IRONFLOW_TEST_PG_URL names (tests/lib/pg.sh starts one). */
#include "../../tests/contract/db_contract.c"

int main(void)
{
    int failed = 0;

    suite_backend = ON_FILE;
    failed += cmocka_run_group_tests_name("db contract: SQLite file", contract, NULL, NULL);
    suite_backend = ON_MEMORY;
    failed += cmocka_run_group_tests_name("db contract: SQLite memory", contract, NULL, NULL);
    suite_pg_url = getenv("IRONFLOW_TEST_PG_URL");
    if (suite_pg_url == NULL) {
        print_message("NOT RUN: db contract on PostgreSQL (IRONFLOW_TEST_PG_URL is not set)\n");
        return failed;
    }
    suite_backend = ON_PG;
    return failed + cmocka_run_group_tests_name("db contract: PostgreSQL", contract, NULL, NULL);
}

/* The functions: conversions, strings, patterns, formatting, times. */
#include "codec/cel_test.h"

static void conversions(void **state)
{
    (void)state;
    holds("int('42') == 42 && int(4.9) == 4 && int(-4.9) == -4 && int(7u) == 7 && int(3) == 3");
    holds("uint('42') == 42u && uint(3) == 3u && uint(2.9) == 2u");
    holds("double('1.5') == 1.5 && double(2) == 2.0 && double('-1e3') == -1000.0 && double(3u) == "
          "3.0");
    holds("double('NaN') != double('NaN') && double('-inf') < 0");
    holds("string(1) == '1' && string(2u) == '2' && string(true) == 'true' && string('x') == 'x'");
    holds("string(1.5) == '1.5' && string(100.0) == '100' && string(1e300) == '1e+300'");
    holds("string(-0.0045) == '-0.0045' && string(0.1) == '0.1' && string(1e-7) == '1e-07'");
    holds("string(b'abc') == 'abc' && bytes('\xC3\xA9') == b'\\xc3\\xa9' && bytes(b'x') == b'x'");
    holds("bool('true') && !bool('0') && bool(true) && bool('T' + 'RUE')");
    holds("dyn(1) == 1 && type(dyn('x')) == string && type(null) == null_type");
    holds("type([]) == list && type({}) == map && type(b'') == bytes && type(data.tags) == list");
    holds("type(now) == google.protobuf.Timestamp && type(duration('1s')) == "
          "google.protobuf.Duration");
    faults("int('x')", "type conversion error: int");
    faults("int(1e99)", "range error");
    faults("int(9223372036854775808u)", "range error");
    faults("int(null)", "no such overload");
    faults("uint(-1)", "range error");
    faults("uint('-1')", "type conversion error: uint");
    holds("double('1.') == 1.0");
    faults("double('')", "type conversion error: double");
    faults("double('0x10')", "type conversion error: double");
    faults("double('1e')", "type conversion error: double");
    faults("bool('yes')", "type conversion error: bool");
    faults("string(b'\\xff')", "invalid UTF-8");
    faults("string([])", "no such overload");
}

static void tests_of_strings(void **state)
{
    (void)state;
    holds("name.startsWith('order') && name.endsWith('placed') && name.contains('.')");
    holds("''.contains('') && 'abababc'.contains('ababc') && !'a'.contains('b')");
    holds(
        "name.matches('^order\\\\.(placed|paid)$') && matches(name, 'p.a') && !name.matches('x')");
    holds("name.matches('or' + 'der') && !name.matches('^' + 'placed')");
    faults("name.matches('(' + ')' + ')')", "malformed pattern: unexpected )");
    faults("data.total.contains('5')", "no such overload");
    faults("name.startsWith(1)", "no such overload");
    faults("matches(1, 'a')", "no such overload");
    faults("name.contains(data.nope)", "no such key: nope");
    holds("size('na\xC3\xAFve') == 5 && 'abc'.size() == 3 && size('') == 0");
    faults("size(1)", "no such overload");
}

static void positions_in_strings(void **state)
{
    (void)state;
    holds("'t\xC3\xA9l'.charAt(1) == '\xC3\xA9' && 'abc'.charAt(3) == ''");
    holds("'t\xC3\xA9t\xC3\xA9'.indexOf('\xC3\xA9') == 1 && "
          "'t\xC3\xA9t\xC3\xA9'.indexOf('\xC3\xA9', 2) == 3");
    holds("'abc'.indexOf('') == 0 && 'abc'.indexOf('x') == -1 && 'abc'.indexOf('', 2) == 2");
    holds("'t\xC3\xA9t\xC3\xA9'.lastIndexOf('t') == 2 && 'abab'.lastIndexOf('ab', 1) == 0");
    holds("'abc'.lastIndexOf('') == 3 && ''.lastIndexOf('x') == -1");
    holds("'t\xC3\xA9l\xC3\xA9'.substring(1) == '\xC3\xA9l\xC3\xA9' && 'abcd'.substring(1, 3) == "
          "'bc'");
    faults("'abc'.charAt(4)", "index out of range");
    faults("'abc'.charAt(-1)", "index out of range");
    faults("'abc'.indexOf('a', 4)", "index out of range");
    faults("'abc'.lastIndexOf('a', -1)", "index out of range");
    faults("'abc'.substring(2, 1)", "index out of range");
    faults("'abc'.substring(0, 4)", "index out of range");
}

static void strings_from_strings(void **state)
{
    (void)state;
    holds("'a,b,,c'.split(',') == ['a', 'b', '', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']");
    holds("'abc'.split('') == ['a', 'b', 'c'] && 'x'.split(',', 0) == [] && ''.split(',') == ['']");
    holds("['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab' && [].join(',') == ''");
    faults("data.tags.join()", "no such overload");
    holds("'aXbXc'.replace('X', '--') == 'a--b--c' && 'aXbX'.replace('X', '', 1) == 'abX'");
    holds("'ab'.replace('', '.') == '.a.b.' && 'ab'.replace('x', 'y') == 'ab'");
    holds("'ab'.replace('a', 'b', 0) == 'ab'");
    holds("'Ab\xC3\x84'.lowerAscii() == 'ab\xC3\x84' && 'aB\xC3\xA4'.upperAscii() == 'AB\xC3\xA4'");
    holds("' \\n\\u2003x y\\u00a0\\t'.trim() == 'x y' && '  '.trim() == ''");
    holds("'a\xC3\xA9z'.reverse() == 'z\xC3\xA9"
          "a'");
    holds("strings.quote('a\"\\n\\\\') == '\"a\\\\\"\\\\n\\\\\\\\\"'");
    faults("data.total.trim()", "no such overload");
}

static void formatting(void **state)
{
    (void)state;
    holds("'%s is %d%%'.format(['x', 5]) == 'x is 5%' && 'plain'.format([]) == 'plain'");
    holds("'%.2f %f %.1e'.format([1.25, 2, 1500.0]) == '1.25 2.000000 1.5e+03'");
    holds("'%x %X %o %b %b'.format([255, 255u, 8, 5, true]) == 'ff FF 10 101 1'");
    holds("'%x'.format(['AZ']) == '415a' && '%x'.format([-255]) == '-ff'");
    holds("'%s %s'.format([[1, 'a', null], {'b': 2, 'a': [true]}]) == '[1, a, null] {a: [true], b: "
          "2}'");
    holds("'%s'.format([data.items]) == '[{qty: 2, sku: x}, {qty: 0, sku: y}]'");
    holds("'%s %d'.format([0.0/0.0, 1.0/0.0]) == 'NaN Infinity'");
    faults("'%d'.format(['x'])", "%d needs an integer");
    faults("'%s'.format([])", "too few values to format");
    faults("'%q'.format([1])", "unknown formatting clause");
    faults("'%'.format([1])", "malformed formatting clause");
    faults("'%.999f'.format([1])", "malformed formatting clause");
    faults("'%f'.format(['1'])", "%f and %e need a number");
    faults("'%x'.format([1.5])", "%b, %o and %x need an integer");
}

static void parts_of_times(void **state)
{
    (void)state;
    holds("now == timestamp('2026-05-02T08:00:00.123Z')");
    holds("now.getFullYear() == 2026 && now.getMonth() == 4 && now.getDate() == 2");
    holds("now.getDayOfMonth() == 1 && now.getDayOfWeek() == 6 && now.getDayOfYear() == 121");
    holds("now.getHours() == 8 && now.getMinutes() == 0 && now.getSeconds() == 0");
    holds("now.getMilliseconds() == 123");
    holds("now.getHours('+02:30') == 10 && now.getMinutes('+02:30') == 30");
    holds("now.getHours('-09:00') == 23 && now.getDate('-09:00') == 1 && now.getHours('UTC') == 8");
    holds("timestamp('2024-12-31T23:00:00Z').getDayOfYear() == 365");
    holds("timestamp('2024-12-31T23:00:00Z').getFullYear('02:00') == 2025");
    holds("timestamp('2024-02-29T00:00:00Z').getMonth() == 1");
    holds("timestamp('2024-03-01T00:00:00Z').getDayOfYear() == 60");
    holds("timestamp('0001-01-01T00:00:00Z').getDayOfWeek() == 1");
    holds("timestamp('1969-12-31T23:59:59.5Z').getSeconds() == 59");
    holds("now.getHours('Europe/Berlin') == 10 && now.getHours('America/New_York') == 4");
    holds("timestamp('2026-01-01T04:00:00Z').getDate('America/New_York') == 31");
    faults("now.getHours('Europe/Bern')",
           "unknown time zone (Europe/Berlin, UTC or an offset such as +02:00)");
    faults("now.getHours(2)", "no such overload");
    faults("name.getHours()", "no such overload");
    holds("duration('1h30m').getMinutes() == 90 && duration('1h30m').getHours() == 1");
    holds("duration('90.5s').getSeconds() == 90 && duration('90.5s').getMilliseconds() == 500");
    faults("duration('1h').getDate()", "no such overload");
}

static void times_as_text(void **state)
{
    (void)state;
    holds("string(timestamp('2026-05-02T10:00:00.120+02:00')) == '2026-05-02T08:00:00.12Z'");
    holds("string(timestamp(0)) == '1970-01-01T00:00:00Z' && "
          "int(timestamp('1970-01-02T00:00:00Z')) == 86400");
    holds(
        "string(timestamp('9999-12-31T23:59:59.999999999Z')) == '9999-12-31T23:59:59.999999999Z'");
    holds("string(timestamp('0001-01-01T00:00:00Z')) == '0001-01-01T00:00:00Z'");
    holds("string(duration('1h')) == '3600s' && string(duration('-1.5s')) == '-1.5s'");
    holds("string(duration('-0.5s')) == '-0.5s' && string(duration('0')) == '0s'");
    holds("duration('1h2m3s4ms5us6ns') == duration('3723.004005006s')");
    holds("duration('+1.5m') == duration('90s') && duration('1\xC2\xB5s') == duration('1000ns')");
    faults("timestamp('2026-02-30T00:00:00Z')", "type conversion error: timestamp");
    faults("timestamp('2026-05-02')", "type conversion error: timestamp");
    faults("timestamp('2026-05-02T08:00:00')", "type conversion error: timestamp");
    faults("timestamp('0001-01-01T00:00:00+01:00')", "range error: timestamp");
    faults("timestamp(253402300800)", "range error: timestamp");
    faults("duration('1d')", "type conversion error: duration");
    faults("duration('')", "type conversion error: duration");
    faults("duration('1')", "type conversion error: duration");
    faults("duration('300000h30000000h')", "type conversion error: duration");
}

static void arithmetic_of_times(void **state)
{
    (void)state;
    holds("now - duration('1h') < now && now + duration('1ms') == "
          "timestamp('2026-05-02T08:00:00.124Z')");
    holds("duration('1h') + now == now + duration('60m')");
    holds(
        "timestamp('2026-05-02T08:00:00Z') - timestamp('2026-05-01T08:00:00Z') == duration('24h')");
    holds("duration('2h') - duration('30m') == duration('90m') && duration('1s') > "
          "duration('999ms')");
    holds("timestamp('1970-01-01T00:00:00Z') - duration('0.5s') == "
          "timestamp('1969-12-31T23:59:59.5Z')");
    faults("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "range error: timestamp");
    faults("timestamp('9999-12-31T00:00:00Z') - timestamp('0001-01-01T00:00:00Z')",
           "range error: duration");
    faults("duration('2562047h') + duration('2562047h')", "range error: duration");
    faults("now + now", "no such overload");
    faults("duration('1s') - now", "no such overload");
    faults("duration('1s') * 2", "no such overload");
    faults("now + 1", "no such overload");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversions),          cmocka_unit_test(tests_of_strings),
        cmocka_unit_test(positions_in_strings), cmocka_unit_test(strings_from_strings),
        cmocka_unit_test(formatting),           cmocka_unit_test(parts_of_times),
        cmocka_unit_test(times_as_text),        cmocka_unit_test(arithmetic_of_times),
    };

    return RUN_TESTS(tests);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rfc3339 - times as text, declared in clock.h. Own calendar arithmetic: the C library's would read the time zone files
 * of whatever root it runs in. Days are counted from 0000-03-01, so that the leap day is the last one of its year.
 */
#include "common/base/clock.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { DAYS_TO_1970 = 719468, DAYS_PER_ERA = 146097, SECONDS_PER_DAY = 86400 };
static const int64_t US_PER_SECOND = 1000000;
static const int64_t SECONDS_MIN = -62167219200; /* 0000-01-01 */
static const int64_t SECONDS_MAX = 253402300799; /* 9999-12-31T23:59:59 */

static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

static void date_from_days(int64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    int64_t z = days + DAYS_TO_1970;
    int64_t era = (z >= 0 ? z : z - DAYS_PER_ERA + 1) / DAYS_PER_ERA;
    int64_t of_era = z - era * DAYS_PER_ERA;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;

    *day = (unsigned) (of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned) (m < 10 ? m + 3 : m - 9);
    *year = (unsigned) (y + era * 400 + (*month <= 2));
}

void clock_rfc3339(int64_t real_us, int digits, char out[CLOCK_RFC3339_SIZE])
{
    int64_t seconds = real_us / US_PER_SECOND, us = real_us % US_PER_SECOND;
    unsigned year, month, day;

    if (us < 0) {
        us += US_PER_SECOND;
        seconds--;
    }
    if (seconds < SECONDS_MIN)
        seconds = SECONDS_MIN;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    int64_t days = (seconds - (seconds < 0 ? SECONDS_PER_DAY - 1 : 0)) / SECONDS_PER_DAY;
    unsigned rest = (unsigned) (seconds - days * SECONDS_PER_DAY);

    date_from_days(days, &year, &month, &day);
    int n = snprintf(out, CLOCK_RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u", year % 10000, month % 100, day % 100,
                     rest / 3600 % 24, rest / 60 % 60, rest % 60);

    if (digits == 3)
        n += snprintf(out + n, CLOCK_RFC3339_SIZE - (size_t) n, ".%03u", (unsigned) (us / 1000) % 1000);
    else if (digits == 6)
        n += snprintf(out + n, CLOCK_RFC3339_SIZE - (size_t) n, ".%06u", (unsigned) us % 1000000);
    snprintf(out + n, CLOCK_RFC3339_SIZE - (size_t) n, "Z");
}

/* Exactly n digits at *s; moves on. */
static bool take_digits(const char **s, int n, unsigned *out)
{
    unsigned v = 0;

    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return false;
        v = v * 10 + (unsigned) (**s - '0');
    }
    *out = v;
    return true;
}

static bool take_char(const char **s, const char *set)
{
    if (!**s || !strchr(set, **s))
        return false;
    (*s)++;
    return true;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* ".123456789" to microseconds; further digits are cut off. */
static bool take_fraction(const char **s, unsigned *us)
{
    unsigned v = 0, scale = 100000;

    *us = 0;
    if (**s != '.')
        return true;
    (*s)++;
    if (**s < '0' || **s > '9')
        return false;
    for (; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
        v += (unsigned) (**s - '0') * scale;
    *us = v;
    return true;
}

static bool take_offset(const char **s, int *minutes)
{
    unsigned h, m;
    char sign = **s;

    *minutes = 0;
    if (take_char(s, "Zz"))
        return true;
    if (!take_char(s, "+-") || !take_digits(s, 2, &h) || !take_char(s, ":") || !take_digits(s, 2, &m))
        return false;
    if (h > 23 || m > 59)
        return false;
    *minutes = (int) (h * 60 + m) * (sign == '-' ? -1 : 1);
    return true;
}

int clock_parse_rfc3339(const char *s, int64_t *real_us)
{
    unsigned year, month, day, hour, minute, second, us;
    int offset;

    if (!s || !take_digits(&s, 4, &year) || !take_char(&s, "-") || !take_digits(&s, 2, &month) ||
        !take_char(&s, "-") || !take_digits(&s, 2, &day) || !take_char(&s, "Tt "))
        return -EINVAL;
    if (!take_digits(&s, 2, &hour) || !take_char(&s, ":") || !take_digits(&s, 2, &minute) || !take_char(&s, ":") ||
        !take_digits(&s, 2, &second) || !take_fraction(&s, &us) || !take_offset(&s, &offset) || *s)
        return -EINVAL;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return -EINVAL;
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second, taken as the second after */
        return -EINVAL;
    int64_t seconds = days_from_date(year, month, day) * SECONDS_PER_DAY + (int64_t) hour * 3600 + minute * 60 + second;

    *real_us = (seconds - (int64_t) offset * 60) * US_PER_SECOND + us;
    return 0;
}

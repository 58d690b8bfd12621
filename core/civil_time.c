/* Works in years that begin in March, so that the day which comes and goes is the last of its year;
 * 400 such years always have the same number of days. */
#include <errno.h>
#include <limits.h>

#include "core/civil_time.h"

#define DAY_SECONDS    86400
#define DAYS_PER_400Y  146097
#define DAYS_PER_100Y  36524
#define DAYS_PER_4Y    1461
#define DAYS_PER_YEAR  365
/* From 1 March of year 0 to 1 January 1970. */
#define DAYS_TO_EPOCH  719468
#define MARCH_TO_YEARS_END 306

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int oa_civil_from_unix(int64_t seconds, struct tm *ret_date)
{
	int64_t day = floor_div(seconds, DAY_SECONDS);
	int second = (int)(seconds - day * DAY_SECONDS);
	int64_t march_day = day + DAYS_TO_EPOCH;
	int64_t cycle = floor_div(march_day, DAYS_PER_400Y);
	int in_cycle = (int)(march_day - cycle * DAYS_PER_400Y);
	/* Take the extra days out first: then a year has 365 days, always. */
	int year_in_cycle = (in_cycle - in_cycle / (DAYS_PER_4Y - 1) + in_cycle / DAYS_PER_100Y -
			     in_cycle / (DAYS_PER_400Y - 1)) / DAYS_PER_YEAR;
	int in_year = in_cycle - (DAYS_PER_YEAR * year_in_cycle + year_in_cycle / 4 - year_in_cycle / 100);
	/* Months from March on repeat 31 30 31 30 31: 153 days in five months. */
	int march_month = (5 * in_year + 2) / 153;
	int64_t year = cycle * 400 + year_in_cycle + (march_month >= 10);

	if (year - 1900 > INT_MAX || year - 1900 < INT_MIN)
		return -EOVERFLOW;
	*ret_date = (struct tm){
		.tm_sec = second % 60,
		.tm_min = second / 60 % 60,
		.tm_hour = second / 3600,
		.tm_mday = in_year - (153 * march_month + 2) / 5 + 1,
		.tm_mon = march_month < 10 ? march_month + 2 : march_month - 10,
		.tm_year = (int)(year - 1900),
		/* 1 January 1970 was a Thursday. */
		.tm_wday = (int)(day + 4 - 7 * floor_div(day + 4, 7)),
		.tm_yday = march_month < 10 ? in_year + 59 + is_leap(year) : in_year - MARCH_TO_YEARS_END,
		.tm_zone = "GMT",
	};
	return 0;
}

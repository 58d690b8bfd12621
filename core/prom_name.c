#include "core/prom_name.h"

#include <string.h>

#include "core/config_value.h"

const char *oa_prom_unit(const char *unit)
{
	if (!strcmp(unit, "s"))
		return "seconds";
	return !strcmp(unit, "By") ? "bytes" : NULL;
}

size_t oa_prom_name(char ret[OA_PROM_NAME_MAX], const char *name, const char *unit)
{
	const char *suffix = oa_prom_unit(unit);
	char *at = ret;

	for (; *name; name++)
		*at++ = *name == '.' || *name == '-' || *name == '/' ? '_' : *name;
	if (suffix) {
		*at++ = '_';
		at = stpcpy(at, suffix);
	}
	*at = '\0';
	return (size_t)(at - ret);
}

/* What `name` has behind `stem`; NULL: it begins with something else */
static const char *name_behind(const char *name, const char *stem)
{
	for (; *stem; name++, stem++)
		if (oa_lower((uint8_t)*name) != oa_lower((uint8_t)*stem))
			return NULL;
	return name;
}

bool oa_prom_names_clash(const char *a, const char *b)
{
	static const char of_samples[] = "_total|_bucket|_sum|_count|_info|_created";
	const char *more = strlen(a) < strlen(b) ? name_behind(b, a) : name_behind(a, b);

	return more && (!*more || oa_value_choice(oa_bytes_str(more), of_samples) >= 0);
}

#include "core/detected.h"

#include <string.h>

#include "core/config.h"
#include "core/config_value.h"

/* In the order of the setting's choices. */
static const struct {
	const char *prefix;
	unsigned detector;
} detected_groups[] = { { "process.", 0 }, { "host.", 1 }, { "os.", 1 }, { "container.", 2 } };

static bool detected_has_detector(const char *key)
{
	uint32_t on = oa_config.resource_detectors;

	for (unsigned i = 0; on && i < sizeof(detected_groups) / sizeof(detected_groups[0]); i++)
		if (!strncmp(key, detected_groups[i].prefix, strlen(detected_groups[i].prefix)))
			return !(on & OA_LIST_NONE) && on >> detected_groups[i].detector & 1;
	return true;
}

static bool detected_is_named(const char *list, const char *key, bool without)
{
	return list && *list ? oa_glob_list_match(list, key) : without;
}

bool oa_detected_is_wanted(const char *key)
{
	return detected_has_detector(key) && detected_is_named(oa_config.resource_include, key, true) &&
	       !detected_is_named(oa_config.resource_exclude, key, false);
}

#include "core/exclude.h"

#include <stddef.h>
#include <string.h>

#include "core/config.h"
#include "core/config_value.h"

/* One text, each glob with its end, an empty one last: no pointers for the loader to relocate. */
static const char exclude_built_in[] =
#define OA_EXCLUDE(glob) glob "\0"
#include "core/exclude.def"
#undef OA_EXCLUDE
	;

const char *oa_program_on_built_in_list(const char *exe_name)
{
	for (const char *glob = exclude_built_in; *glob; glob += strlen(glob) + 1)
		/* Most globs differ in the first letter: no call for them. */
		if ((glob[0] == exe_name[0] || glob[0] == '*') && oa_glob_match(glob, exe_name))
			return glob;
	return NULL;
}

/* Whether an item of OTELAUTO_EXCLUDE matches; taken_off: of those with `!`, or those without. */
static bool exclude_setting_matches(const char *exe_name, bool taken_off)
{
	struct oa_bytes list = oa_bytes_str(oa_config.exclude), item;

	while (oa_value_next_item(&list, &item)) {
		bool off = item.len && item.ptr[0] == '!';

		if (off) {
			item.ptr++;
			item.len--;
		}
		if (item.len && off == taken_off &&
		    oa_glob_match_bytes(item, oa_bytes_str(exe_name)))
			return true;
	}
	return false;
}

enum oa_program_verdict oa_program_verdict(const char *exe_name)
{
	if (exclude_setting_matches(exe_name, false))
		return OA_PROGRAM_EXCLUDED;
	if (oa_config.include && *oa_config.include)
		return oa_glob_list_match(oa_config.include, exe_name) ? OA_PROGRAM_OBSERVED
								       : OA_PROGRAM_NOT_INCLUDED;
	if (oa_program_on_built_in_list(exe_name) && !exclude_setting_matches(exe_name, true))
		return OA_PROGRAM_BUILT_IN;
	return OA_PROGRAM_OBSERVED;
}

bool oa_program_excluded(const char *exe_name)
{
	return oa_program_verdict(exe_name) != OA_PROGRAM_OBSERVED;
}

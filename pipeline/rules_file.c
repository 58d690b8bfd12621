/* The rules of OTELAUTO_SAMPLING_RULES: inline, or a file that is looked at every second. A file that is replaced or
 * written anew is read again by one process of the tree, for all of it; what cannot be read or is wrong changes nothing. */
#define OA_LOG_DOMAIN "sampling"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/config.h"
#include "core/log.h"
#include "core/sys.h"
#include "pipeline/rules_json.h"
#include "pipeline/sampling.h"
#include "sampler/arg.h"
#include "sampler/rules.h"
#include "sampler/sampler.h"

#define RULES_LOOK_NS   1000000000ull
#define RULES_BYTES_MAX (1u << 20)

static uint64_t rules_refused; /* id of a file that was wrong: said once */

static bool rules_inline(const char *setting) { return *setting == '{'; }

/* Share of what no rule names. */
static double rules_rest_ratio(void)
{
	struct oa_sampler_settings arg;

	oa_sampler_settings(&arg);
	return oa_samplers[oa_config.sampler]->arg == OA_ARG_TARGET ? -1 : arg.ratio;
}

static void rules_put(const char *text, size_t len, uint64_t id)
{
	char why[200];

	switch (oa_rules_read(text, len, rules_rest_ratio(), id, why, sizeof(why))) {
	case OA_RULES_WRONG:
		rules_refused = id;
		oa_warn("OTELAUTO_SAMPLING_RULES: %s; %s", why,
			atomic_load(&oa_sampling()->rules_id) ? "the rules from before stay" : "no rules");
		break;
	case OA_RULES_DONE:
		oa_info("sampling rules read");
		break;
	case OA_RULES_LATER:
		break;
	}
}

/* A file is another one when any of this differs. */
static uint64_t rules_id_of(const struct stat *st)
{
	const uint64_t what[] = { st->st_dev, st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
				  (uint64_t)st->st_mtim.tv_nsec };

	return oa_hash(0, what, sizeof(what)) | 1;
}

static void rules_read_fd(int fd, size_t size, uint64_t id)
{
	char *text = malloc(size + 1);
	size_t len = 0;
	long n = 0;

	while (text && len < size && (n = oa_sys3(SYS_read, fd, text + len, size - len)) > 0)
		len += (size_t)n;
	if (text && n >= 0)
		rules_put(text, len, id);
	free(text);
}

static void rules_look(const char *path)
{
	long fd = oa_sys3(SYS_open, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	struct stat st;
	uint64_t id;

	if (fd < 0) {
		if (rules_refused != 1)
			oa_warn("OTELAUTO_SAMPLING_RULES: cannot open %s", path);
		rules_refused = 1;
		return;
	}
	if (!oa_sys2(SYS_fstat, fd, &st)) {
		id = rules_id_of(&st);
		if (!S_ISREG(st.st_mode) || st.st_size > RULES_BYTES_MAX) {
			if (rules_refused != id)
				oa_warn("OTELAUTO_SAMPLING_RULES: %s is no file of at most a megabyte", path);
			rules_refused = id;
		} else if (id != atomic_load(&oa_sampling()->rules_id) && id != rules_refused) {
			rules_read_fd((int)fd, (size_t)st.st_size, id);
		}
	}
	(void)oa_sys1(SYS_close, fd);
}

void oa_rules_file_tick(uint64_t now_ns)
{
	const char *setting = oa_config.sampling_rules;
	struct oa_sampling *s = oa_sampling();
	uint64_t id;

	if (!*setting || !oa_sampler_asks || oa_samplers[oa_config.sampler]->arg == OA_ARG_REMOTE)
		return;
	if (!oa_sampling_turn(&s->rules_ns, now_ns, RULES_LOOK_NS))
		return;
	if (!rules_inline(setting)) {
		rules_look(setting);
		return;
	}
	id = oa_hash(0, setting, strlen(setting)) | 1;
	if (id != atomic_load(&s->rules_id) && id != rules_refused)
		rules_put(setting, strlen(setting), id);
}

void oa_rules_file_forget(void) { rules_refused = 0; }

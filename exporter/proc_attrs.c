#include "exporter/proc_attrs.h"

#include "core/civil_time.h"
#include "core/detected.h"
#include "core/id.h"
#include "exporter/addr_text.h"

static void proc_add(struct oa_proc_attrs *p, struct oa_attr attr)
{
	p->attr[p->count++] = attr;
}

static void proc_add_detected(struct oa_proc_attrs *p, struct oa_attr attr)
{
	if (oa_detected_is_wanted(attr.key))
		proc_add(p, attr);
}

static void proc_put_uuid(char out[37], const uint8_t id[16])
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 };

	for (unsigned g = 0; g < sizeof(groups); g++) {
		oa_hex(out, id, groups[g]);
		out += 2 * groups[g];
		id += groups[g];
		*out++ = g + 1 < sizeof(groups) ? '-' : '\0';
	}
}

static char *proc_put_padded(char *out, unsigned value, unsigned digits, char after)
{
	for (unsigned i = digits; i--; value /= 10)
		out[i] = (char)('0' + value % 10);
	out[digits] = after;
	return out + digits + 1;
}

static bool proc_put_time(char out[32], uint64_t unix_ns)
{
	struct tm t;

	if (!unix_ns || oa_civil_from_unix((int64_t)(unix_ns / 1000000000), &t))
		return false;
	out = proc_put_padded(out, (unsigned)t.tm_year + 1900, 4, '-');
	out = proc_put_padded(out, (unsigned)t.tm_mon + 1, 2, '-');
	out = proc_put_padded(out, (unsigned)t.tm_mday, 2, 'T');
	out = proc_put_padded(out, (unsigned)t.tm_hour, 2, ':');
	out = proc_put_padded(out, (unsigned)t.tm_min, 2, ':');
	out = proc_put_padded(out, (unsigned)t.tm_sec, 2, '.');
	out = proc_put_padded(out, (unsigned)(unix_ns / 1000000 % 1000), 3, 'Z');
	*out = '\0';
	return true;
}

void oa_proc_attrs(struct oa_proc_attrs *ret, const struct oa_proc_id *who)
{
	ret->count = 0;
	proc_put_uuid(ret->instance_id, who->instance_id);
	proc_add(ret, (struct oa_attr){ .key = "service.instance.id", .str = ret->instance_id });
	if (who->pid)
		proc_add_detected(ret, (struct oa_attr){ .key = "process.pid", .num = who->pid, .is_num = true });
	if (who->ppid)
		proc_add_detected(ret, (struct oa_attr){ .key = "process.parent_pid", .num = who->ppid, .is_num = true });
	if (proc_put_time(ret->creation_time, who->start_unix_ns))
		proc_add_detected(ret, (struct oa_attr){ .key = "process.creation.time", .str = ret->creation_time });
}

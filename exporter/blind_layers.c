/* Reads /proc/self/maps and looks for names. */
#include "exporter/blind_layers.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/clock.h"
#include "core/sys.h"

#define BLIND_PERIOD_NS 60000000000ull

const struct oa_blind_layer oa_blind_layer_table[] = {
#define OA_BLIND(layer, text) { #layer, text },
#include "exporter/blind_layers.def"
#undef OA_BLIND
	{ NULL, NULL },
};
_Static_assert(sizeof(oa_blind_layer_table) / sizeof(*oa_blind_layer_table) - 1 <=
		       OA_BLIND_LAYERS_MAX,
	       "one bit each");

static uint32_t blind_in_line(const char *line)
{
	uint32_t found = 0;

	for (unsigned i = 0; oa_blind_layer_table[i].layer; i++)
		if (strstr(line, oa_blind_layer_table[i].text))
			found |= 1u << i;
	return found;
}

/* Whole lines in buf; the rest moves to its start. returns what is left */
static size_t blind_lines(char *buf, size_t len, uint32_t *found)
{
	char *line = buf, *end;

	buf[len] = '\0';
	while ((end = memchr(line, '\n', (size_t)(buf + len - line)))) {
		*end = '\0';
		*found |= blind_in_line(line);
		line = end + 1;
	}
	len = (size_t)(buf + len - line);
	memmove(buf, line, len);
	return len;
}

static uint32_t blind_scan(void)
{
	static char buf[4096 + 1]; /* side thread only */
	long fd = oa_sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0), n;
	uint32_t found = 0;
	size_t kept = 0;

	if (fd < 0)
		return 0;
	while ((n = oa_sys3(SYS_read, fd, buf + kept, sizeof(buf) - 1 - kept)) > 0) {
		kept = blind_lines(buf, kept + (size_t)n, &found);
		if (kept == sizeof(buf) - 1)
			kept = 0; /* no path is that long */
	}
	(void)oa_sys1(SYS_close, fd); /* was only read */
	return found;
}

__attribute__((weak)) uint32_t oa_blind_layers(void)
{
	static uint64_t looked_ns;
	static uint32_t layers;
	uint64_t now = oa_now_ns();

	if (!looked_ns || now - looked_ns >= BLIND_PERIOD_NS) {
		layers = blind_scan();
		looked_ns = now;
	}
	return layers;
}

/* /etc/ld.so.cache, format 1.1 of glibc 2.2 and later, which may stand behind the older one. */
#include "scripts/doctor/ld_cache.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_MAGIC  "glibc-ld.so.cache1.1"
#define FLAGS_X86_64 0x0303

struct cache_entry {
	int32_t flags;
	uint32_t key, value; /* offsets of texts from the header */
	uint32_t os_version;
	uint64_t hwcap;
};

struct cache_header {
	char magic[sizeof(CACHE_MAGIC) - 1];
	uint32_t count;
	uint32_t texts_len;
	uint32_t unused[5];
	struct cache_entry entries[];
};

static const char *cache_map(size_t *ret_len)
{
	int fd = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
	void *bytes = MAP_FAILED;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (bytes == MAP_FAILED)
		return NULL;
	*ret_len = (size_t)st.st_size;
	return bytes;
}

static const char *cache_text(const struct cache_header *header, size_t len, uint32_t offset)
{
	const char *text = (const char *)header + offset;

	return offset < len && memchr(text, '\0', len - offset) ? text : "";
}

static bool cache_find_in(const struct cache_header *header, size_t len, const char *soname,
			  char *ret, size_t cap)
{
	if (len < sizeof(*header) ||
	    header->count > (len - sizeof(*header)) / sizeof(header->entries[0]))
		return false;
	for (uint32_t i = 0; i < header->count; i++) {
		const struct cache_entry *entry = &header->entries[i];

		if (entry->flags != FLAGS_X86_64 || entry->hwcap ||
		    strcmp(cache_text(header, len, entry->key), soname) != 0)
			continue;
		snprintf(ret, cap, "%s", cache_text(header, len, entry->value));
		return true;
	}
	return false;
}

bool ld_cache_find(const char *soname, char *ret, size_t cap)
{
	static const char *bytes;
	static size_t len;
	const char *header;

	if (!bytes)
		bytes = cache_map(&len);
	if (!bytes)
		return false;
	header = memmem(bytes, len, CACHE_MAGIC, strlen(CACHE_MAGIC));
	return header && cache_find_in((const void *)header, len - (size_t)(header - bytes), soname,
				       ret, cap);
}

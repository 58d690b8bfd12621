/* Memory functions of the third parties, on the arena. */
#include <errno.h>

#include "core/arena.h"
#include "core/wrap.h"

void *__wrap_malloc(size_t bytes) { return oa_arena_alloc(bytes); }

void __wrap_free(void *block) { oa_arena_free(block); }

void *__wrap_realloc(void *block, size_t bytes) { return oa_arena_resize(block, bytes); }

void *__wrap_reallocarray(void *block, size_t count, size_t bytes)
{
	size_t whole;

	if (!__builtin_mul_overflow(count, bytes, &whole))
		return oa_arena_resize(block, whole);
	errno = ENOMEM;
	return NULL;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	void *block = __wrap_reallocarray(NULL, count, bytes);

	return block ? memset(block, 0, count * bytes) : NULL;
}

char *__wrap_strndup(const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	char *copy = oa_arena_alloc(len + 1);

	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

char *__wrap_strdup(const char *text) { return __wrap_strndup(text, strlen(text)); }

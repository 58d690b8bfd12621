/* Size classes with free lists, cut from chunks; large blocks are mappings of their own. Every block has
 * a 16-byte header in front. Chunks are kept for ever: the third parties ask for the same sizes again
 * and again. So are a few large blocks as long as there is work: a request's buffer is asked for with each
 * request, and to have its pages made anew each time would cost as much as to encode and send it. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "core/arena.h"
#include "core/limits.h"
#include "core/sys.h"

#define ARENA_CHUNK_BYTES (256u << 10)
#define ARENA_PAGE_BYTES  4096u
#define ARENA_MAGIC       0x6f617200u /* the low byte is the generation: one per fork */
#define ARENA_LARGE       0xffu
#define ARENA_KEPT_MAX    4
#define ARENA_KEPT_BYTES  (2304u << 10) /* of one largest upload buffer, and something beside it */

struct arena_block {
	uint32_t magic;
	uint32_t class_idx; /* or ARENA_LARGE */
	size_t bytes;       /* header included */
};

struct arena_free {
	struct arena_block head;
	struct arena_free *next;
};

/* Steps of at most a half waste at most a third. */
static const uint32_t arena_class_bytes[] = {
	32,   48,   64,   96,   128,  192,   256,   384,   512,   768,   1024,
	1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768,
};

#define ARENA_CLASSES (sizeof(arena_class_bytes) / sizeof(arena_class_bytes[0]))

static struct {
	struct arena_free *free[ARENA_CLASSES];
	char *chunk;
	size_t chunk_left;
	struct arena_block *kept[ARENA_KEPT_MAX]; /* large ones, free */
	size_t kept_bytes;
	size_t mapped;
	size_t used;
	uint8_t generation;
} arena;

static void *arena_out_of_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

static void *arena_map(size_t bytes)
{
	void *at;

	if (bytes > OA_ARENA_MAX - arena.mapped)
		return NULL;
	at = oa_sys_map(bytes, 0);
	if (at)
		arena.mapped += bytes;
	return at;
}

static void *arena_hand_out(struct arena_block *block, uint32_t class_idx, size_t bytes)
{
	block->magic = ARENA_MAGIC | arena.generation;
	block->class_idx = class_idx;
	block->bytes = bytes;
	arena.used += bytes;
	return block + 1;
}

/* One that is not much larger than asked for, or NULL. */
static struct arena_block *arena_take_kept(size_t bytes)
{
	for (unsigned i = 0; i < ARENA_KEPT_MAX; i++) {
		struct arena_block *block = arena.kept[i];

		if (!block || block->bytes < bytes || block->bytes / 2 > bytes)
			continue;
		arena.kept[i] = NULL;
		arena.kept_bytes -= block->bytes;
		return block;
	}
	return NULL;
}

static bool arena_keep(struct arena_block *block)
{
	for (unsigned i = 0; i < ARENA_KEPT_MAX; i++) {
		if (arena.kept[i] || block->bytes > ARENA_KEPT_BYTES - arena.kept_bytes)
			continue;
		arena.kept[i] = block;
		arena.kept_bytes += block->bytes;
		return true;
	}
	return false;
}

static void arena_unmap(struct arena_block *block)
{
	arena.mapped -= block->bytes;
	oa_sys2(SYS_munmap, block, block->bytes);
}

static void *arena_alloc_large(size_t bytes)
{
	size_t whole = (bytes + sizeof(struct arena_block) + ARENA_PAGE_BYTES - 1) &
		       ~(size_t)(ARENA_PAGE_BYTES - 1);
	struct arena_block *block = arena_take_kept(whole);

	if (block)
		return arena_hand_out(block, ARENA_LARGE, block->bytes);
	block = arena_map(whole);
	if (!block && arena.kept_bytes) { /* what is kept may be what is missing */
		oa_arena_trim();
		block = arena_map(whole);
	}
	return block ? arena_hand_out(block, ARENA_LARGE, whole) : arena_out_of_memory();
}

static uint32_t arena_class_for(size_t whole)
{
	uint32_t i = 0;

	while (arena_class_bytes[i] < whole)
		i++;
	return i;
}

void *oa_arena_alloc(size_t bytes)
{
	struct arena_free *block;
	uint32_t i;

	if (bytes > OA_ARENA_MAX)
		return arena_out_of_memory();
	if (bytes + sizeof(struct arena_block) > arena_class_bytes[ARENA_CLASSES - 1])
		return arena_alloc_large(bytes);

	i = arena_class_for(bytes + sizeof(struct arena_block));
	block = arena.free[i];
	if (block) {
		arena.free[i] = block->next;
		return arena_hand_out(&block->head, i, arena_class_bytes[i]);
	}
	if (arena.chunk_left < arena_class_bytes[i]) {
		char *chunk = arena_map(ARENA_CHUNK_BYTES);

		if (!chunk)
			return arena_out_of_memory();
		arena.chunk = chunk;
		arena.chunk_left = ARENA_CHUNK_BYTES;
	}
	block = (struct arena_free *)arena.chunk;
	arena.chunk += arena_class_bytes[i];
	arena.chunk_left -= arena_class_bytes[i];
	return arena_hand_out(&block->head, i, arena_class_bytes[i]);
}

/* A block of ours, of any generation: forgotten ones keep their contents. It looks in front of memory
 * that may be another allocator's, which AddressSanitizer would take for an overflow. */
__attribute__((no_sanitize("address"))) static struct arena_block *arena_block_of(void *at)
{
	struct arena_block *block = (struct arena_block *)at - 1;

	return (block->magic & ~0xffu) == ARENA_MAGIC ? block : NULL;
}

void oa_arena_free(void *at)
{
	struct arena_block *block = at ? arena_block_of(at) : NULL;

	if (!block || block->magic != (ARENA_MAGIC | arena.generation))
		return;
	block->magic = 0;
	arena.used -= block->bytes;
	if (block->class_idx == ARENA_LARGE) {
		if (!arena_keep(block))
			arena_unmap(block);
	} else {
		struct arena_free *unused = (struct arena_free *)block;

		unused->next = arena.free[block->class_idx];
		arena.free[block->class_idx] = unused;
	}
}

void oa_arena_trim(void)
{
	for (unsigned i = 0; i < ARENA_KEPT_MAX; i++) {
		if (arena.kept[i])
			arena_unmap(arena.kept[i]);
		arena.kept[i] = NULL;
	}
	arena.kept_bytes = 0;
}

void *oa_arena_resize(void *at, size_t bytes)
{
	struct arena_block *block;
	size_t room;
	void *moved;

	if (!at)
		return oa_arena_alloc(bytes);
	block = arena_block_of(at);
	if (!block)
		return arena_out_of_memory();
	room = block->bytes - sizeof(*block);
	/* Shrinking in place is right until three quarters would be idle. */
	if (bytes <= room && bytes >= room / 4)
		return at;
	moved = oa_arena_alloc(bytes);
	if (!moved)
		return bytes <= room ? at : NULL;
	memcpy(moved, at, bytes < room ? bytes : room);
	oa_arena_free(at);
	return moved;
}

void oa_arena_forget(void)
{
	uint8_t generation = arena.generation + 1;

	memset(&arena, 0, sizeof(arena));
	arena.generation = generation;
}

size_t oa_arena_mapped_bytes(void) { return arena.mapped; }

size_t oa_arena_used_bytes(void) { return arena.used; }

/* Finds the copy of a library that a calling place means. */
#include "hooks/lib_find.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/bytes.h"
#include "core/stats.h"

struct oa_lib_place oa_lib_places[OA_LIB_PLACES];

struct oa_lib oa_libs[OA_LIBS_MAX];
static _Atomic unsigned libs_used;
static _Atomic bool libs_ready[OA_LIBS_MAX];

/* -- objects -- */

struct image {
	uintptr_t at;          /* an address in it */
	const char *name;
	uintptr_t from, to;    /* ret: its extent, 0 when no object has the address */
	bool is_program;
};

static int image_visit(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	struct image *image = arg;
	uintptr_t from = UINTPTR_MAX, to = 0;

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD)
			continue;
		from = info->dlpi_addr + ph->p_vaddr < from ? info->dlpi_addr + ph->p_vaddr : from;
		to = info->dlpi_addr + ph->p_vaddr + ph->p_memsz > to ? info->dlpi_addr + ph->p_vaddr + ph->p_memsz : to;
	}
	if (image->at < from || image->at >= to)
		return 0;
	image->from = from;
	image->to = to;
	image->is_program = (uintptr_t)info->dlpi_phdr == getauxval(AT_PHDR);
	image->name = info->dlpi_name;
	return 1;
}

/* The object that an address is in. */
static bool image_find(struct image *image, uintptr_t at)
{
	*image = (struct image){ .at = at };
	return dl_iterate_phdr(image_visit, image) == 1;
}

/* dlopen() of something that is loaded already. */
static void *image_open(const char *path, int more)
{
	void *handle = *path ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD | more) : NULL;

	if (!handle)
		(void)dlerror(); /* the host's next one must not be about this */
	return handle;
}

static void *look_up(void *handle, const char *name)
{
	void *found = dlsym(handle, name);

	if (!found)
		(void)dlerror();
	return found;
}

/* -- which copy -- */

/* Copies of the library by the names of their files, when neither the caller's own libraries nor the program's say. */
struct copies {
	const struct oa_lib_names *names;
	const void *object;
	const char *only;   /* the single one */
	const char *owner;  /* the one that the object points into */
	unsigned count;
};

/* A session of a TLS library begins with a pointer to a table of its library's. */
static bool object_points_into(const void *object, uintptr_t from, uintptr_t to)
{
	const uintptr_t *words = object;

	for (unsigned i = 0; i < 8; i++)
		if (words[i] >= from && words[i] < to)
			return true;
	return false;
}

static int copies_visit(struct dl_phdr_info *info, size_t bytes, void *arg)
{
	struct copies *c = arg;
	const char *slash = strrchr(info->dlpi_name, '/');
	struct image image = { .at = info->dlpi_addr };

	if (!slash || strncmp(slash + 1, c->names->file, strlen(c->names->file)))
		return 0;
	c->only = info->dlpi_name;
	c->count++;
	(void)image_visit(info, bytes, &image); /* also when it does not begin at its base: then extent 0 */
	if (c->object && image.to && object_points_into(c->object, image.from, image.to))
		c->owner = info->dlpi_name;
	return 0;
}

static void *find_by_file(const struct oa_lib_names *names, const void *object, const char *name)
{
	struct copies c = { .names = names, .object = object };
	const char *path;
	void *handle, *found;

	dl_iterate_phdr(copies_visit, &c);
	path = c.owner ? c.owner : c.count == 1 ? c.only : NULL;
	handle = path ? image_open(path, 0) : NULL;
	if (!handle)
		return NULL;
	found = look_up(handle, name);
	(void)dlclose(handle); /* as it was */
	return found;
}

/* What the loader would have bound the call to without us: for the program and what it was linked with, the next in the
 * loader's order; for an object loaded later, its own libraries. */
static void *find_for(const struct oa_lib_names *names, const void *object, const struct image *caller)
{
	const char *name = names->names; /* the first */
	void *handle = caller->from && !caller->is_program ? image_open(caller->name, 0) : NULL;
	void *found = handle ? look_up(handle, name) : NULL;

	if (handle)
		(void)dlclose(handle);
	if (!found)
		found = look_up(RTLD_NEXT, name);
	return found ? found : find_by_file(names, object, name);
}

/* -- copies known -- */

static const struct oa_lib *lib_known(const struct oa_lib_names *names, uintptr_t from)
{
	for (unsigned i = 0; i < OA_LIBS_MAX; i++)
		if (atomic_load_explicit(&libs_ready[i], memory_order_acquire) && oa_libs[i].from == from &&
		    oa_libs[i].names == names)
			return &oa_libs[i];
	return NULL;
}

/* Pinned: its functions are called for as long as the process lives. */
static const struct oa_lib *lib_add(const struct oa_lib_names *names, const struct image *image)
{
	unsigned i = atomic_fetch_add(&libs_used, 1);
	void *handle = i < OA_LIBS_MAX ? image_open(image->name, RTLD_NODELETE) : NULL;
	const char *name;

	if (i >= OA_LIBS_MAX)
		return NULL;
	if (!handle) /* the program itself, or under another name */
		handle = image->is_program ? dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD) : RTLD_NEXT;
	oa_libs[i].names = names;
	oa_libs[i].from = image->from;
	oa_libs[i].to = image->to;
	name = names->names;
	for (unsigned n = 0; n < names->count; n++) {
		oa_libs[i].fn[n] = look_up(handle, oa_text_next(&name));
		if (!oa_libs[i].fn[n])
			oa_libs[i].fn[n] = names->refusal(n);
	}
	atomic_store_explicit(&libs_ready[i], true, memory_order_release);
	return &oa_libs[i];
}

/* A program may have asked for a function by name where no such library is. */
static const struct oa_lib *lib_none(const struct oa_lib_names *names)
{
	oa_stat_inc(OA_STAT_tls_library);
	names->none->names = names;
	for (unsigned n = 0; n < names->count; n++)
		names->none->fn[n] = names->refusal(n);
	return names->none;
}

static const struct oa_lib *lib_find(const struct oa_lib_names *names, const void *object, uintptr_t caller)
{
	struct image image;
	const struct oa_lib *lib;
	void *found;

	(void)image_find(&image, caller); /* code made at run time is in none */
	found = find_for(names, object, &image);
	if (!found || !image_find(&image, (uintptr_t)found))
		return NULL;
	lib = lib_known(names, image.from);
	return lib ? lib : lib_add(names, &image);
}

/* The ends of this very object. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static bool caller_is_ours(uintptr_t caller)
{
	return caller >= (uintptr_t)__ehdr_start && caller < (uintptr_t)_end;
}

const struct oa_lib *oa_lib_slow(const struct oa_lib_names *names, const void *object, uintptr_t caller)
{
	const struct oa_lib_call *outer = oa_tls.lib_call;
	struct oa_lib_place *p = oa_lib_place(caller);
	const struct oa_lib *lib;
	int err = errno;

	if (caller_is_ours(caller) && outer) /* a library's function jumped here */
		return outer->lib;
	lib = lib_find(names, object, caller);
	errno = err;
	if (!lib)
		return lib_none(names);
	atomic_store_explicit(&p->word, 0, memory_order_release);
	atomic_store_explicit(&p->code, oa_lib_code(caller), memory_order_release);
	atomic_store_explicit(&p->word, (uint64_t)(lib - oa_libs + 1) << 48 | (uint64_t)caller, memory_order_release);
	return lib;
}

/* -- one call -- */

bool oa_lib_from_inside(const struct oa_lib_call *k, uintptr_t caller)
{
	return (caller >= k->lib->from && caller < k->lib->to) || caller_is_ours(caller);
}

static bool call_is_inner(const struct oa_lib_call *k, const void *object, uintptr_t caller)
{
	const struct oa_lib_call *outer = k->outer;

	if (!outer || !object || outer->object != object)
		return false;
	return oa_lib_from_inside(k, caller);
}

OA_HOT bool oa_lib_begin(struct oa_lib_call *k, const void *object, uintptr_t caller)
{
	k->outer = oa_tls.lib_call;
	if (k->outer && oa_guard_stale((uintptr_t)k->outer, (uintptr_t)k))
		k->outer = NULL;
	oa_tls.lib_call = k;
	k->object = object;
	return !call_is_inner(k, object, caller);
}

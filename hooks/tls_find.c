/* Finds the copy of a TLS library that a calling place means. */
#include "hooks/tls.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/stats.h"

struct oa_tls_place oa_tls_places[OA_TLS_PLACES];

struct oa_tls_lib oa_tls_libs[OA_TLS_LIBS];
static _Atomic unsigned libs_used;
static _Atomic bool libs_ready[OA_TLS_LIBS];

/* -- objects -- */

struct image {
	uintptr_t at;          /* an address in it */
	const char *name;
	uintptr_t from, to;    /* ret: its extent, 0 when no object has the address */
	bool is_program;
};

static int image_visit(struct dl_phdr_info *object, size_t bytes, void *arg)
{
	struct image *image = arg;
	uintptr_t from = UINTPTR_MAX, to = 0;

	for (unsigned i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &object->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD)
			continue;
		from = object->dlpi_addr + ph->p_vaddr < from ? object->dlpi_addr + ph->p_vaddr : from;
		to = object->dlpi_addr + ph->p_vaddr + ph->p_memsz > to ? object->dlpi_addr + ph->p_vaddr + ph->p_memsz : to;
	}
	if (image->at < from || image->at >= to)
		return 0;
	image->from = from;
	image->to = to;
	image->is_program = (uintptr_t)object->dlpi_phdr == getauxval(AT_PHDR);
	image->name = object->dlpi_name;
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
	const struct oa_tls_names *names;
	const void *session;
	const char *only;   /* the single one */
	const char *owner;  /* the one that the session points into */
	unsigned count;
};

/* A session begins with a pointer to a table of its library's. */
static bool session_points_into(const void *session, uintptr_t from, uintptr_t to)
{
	const uintptr_t *words = session;

	for (unsigned i = 0; i < 8; i++)
		if (words[i] >= from && words[i] < to)
			return true;
	return false;
}

static int copies_visit(struct dl_phdr_info *object, size_t bytes, void *arg)
{
	struct copies *c = arg;
	const char *slash = strrchr(object->dlpi_name, '/');
	struct image image = { .at = object->dlpi_addr };

	if (!slash || strncmp(slash + 1, c->names->file, strlen(c->names->file)))
		return 0;
	c->only = object->dlpi_name;
	c->count++;
	(void)image_visit(object, bytes, &image); /* also when it does not begin at its base: then extent 0 */
	if (c->session && image.to && session_points_into(c->session, image.from, image.to))
		c->owner = object->dlpi_name;
	return 0;
}

static void *find_by_file(const struct oa_tls_names *names, const void *session, const char *name)
{
	struct copies c = { .names = names, .session = session };
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
static void *find_for(const struct oa_tls_names *names, const void *session, const struct image *caller)
{
	const char *name = names->name[0];
	void *handle = caller->from && !caller->is_program ? image_open(caller->name, 0) : NULL;
	void *found = handle ? look_up(handle, name) : NULL;

	if (handle)
		(void)dlclose(handle);
	if (!found)
		found = look_up(RTLD_NEXT, name);
	return found ? found : find_by_file(names, session, name);
}

/* -- copies known -- */

static const struct oa_tls_lib *lib_known(const struct oa_tls_names *names, uintptr_t from)
{
	for (unsigned i = 0; i < OA_TLS_LIBS; i++)
		if (atomic_load_explicit(&libs_ready[i], memory_order_acquire) && oa_tls_libs[i].from == from &&
		    oa_tls_libs[i].names == names)
			return &oa_tls_libs[i];
	return NULL;
}

/* Pinned: its functions are called for as long as the process lives. */
static const struct oa_tls_lib *lib_add(const struct oa_tls_names *names, const struct image *image)
{
	unsigned i = atomic_fetch_add(&libs_used, 1);
	void *handle = i < OA_TLS_LIBS ? image_open(image->name, RTLD_NODELETE) : NULL;

	if (i >= OA_TLS_LIBS)
		return NULL;
	if (!handle) /* the program itself, or under another name */
		handle = image->is_program ? dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD) : RTLD_NEXT;
	oa_tls_libs[i].names = names;
	oa_tls_libs[i].from = image->from;
	oa_tls_libs[i].to = image->to;
	for (unsigned n = 0; n < names->count; n++) {
		oa_tls_libs[i].fn[n] = look_up(handle, names->name[n]);
		if (!oa_tls_libs[i].fn[n])
			oa_tls_libs[i].fn[n] = names->refusal[n];
	}
	atomic_store_explicit(&libs_ready[i], true, memory_order_release);
	return &oa_tls_libs[i];
}

/* A program may have asked for a function by name where no such library is. */
static const struct oa_tls_lib *lib_none(const struct oa_tls_names *names)
{
	oa_stat_inc(OA_STAT_tls_library);
	names->none->names = names;
	memcpy(names->none->fn, names->refusal, sizeof(names->refusal));
	return names->none;
}

static const struct oa_tls_lib *lib_find(const struct oa_tls_names *names, const void *session, uintptr_t caller)
{
	struct image image;
	const struct oa_tls_lib *lib;
	void *found;

	(void)image_find(&image, caller); /* code made at run time is in none */
	found = find_for(names, session, &image);
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

const struct oa_tls_lib *oa_tls_lib_slow(const struct oa_tls_names *names, const void *session, uintptr_t caller)
{
	const struct oa_tls_call *outer = oa_tls.tls_call;
	struct oa_tls_place *p = oa_tls_place(caller);
	const struct oa_tls_lib *lib;
	int err = errno;

	if (caller_is_ours(caller) && outer) /* a library's function jumped here */
		return outer->lib;
	lib = lib_find(names, session, caller);
	errno = err;
	if (!lib)
		return lib_none(names);
	atomic_store_explicit(&p->word, 0, memory_order_release);
	atomic_store_explicit(&p->code, oa_tls_code(caller), memory_order_release);
	atomic_store_explicit(&p->word, (uint64_t)(lib - oa_tls_libs + 1) << 48 | (uint64_t)caller, memory_order_release);
	return lib;
}

/* -- one call -- */

bool oa_tls_from_inside(const struct oa_tls_call *k, uintptr_t caller)
{
	return (caller >= k->lib->from && caller < k->lib->to) || caller_is_ours(caller);
}

static bool call_is_inner(const struct oa_tls_call *k, const void *session, uintptr_t caller)
{
	const struct oa_tls_call *outer = k->outer;

	if (!outer || !session || outer->src.session != session)
		return false;
	return oa_tls_from_inside(k, caller);
}

bool oa_tls_begin_plain(struct oa_tls_call *k, void *session, uintptr_t caller)
{
	k->outer = oa_tls.tls_call;
	if (k->outer && oa_guard_stale((uintptr_t)k->outer, (uintptr_t)k))
		k->outer = NULL;
	oa_tls.tls_call = k;
	k->src.session = session;
	k->ref.gen = 0;
	return !call_is_inner(k, session, caller);
}

void oa_tls_begin(struct oa_tls_call *k, const struct oa_tls_ops *ops, void *session, uintptr_t caller)
{
	bool own = oa_tls_begin_plain(k, session, caller);

	if (!own || !session || !k->lib->from || !(oa_hook_active() || oa_tls_pinned()))
		return;
	k->src.ops = ops;
	k->src.lib = k->lib;
	OA_OBSERVE_ALWAYS()
		k->ref = oa_tls_find(&k->src);
}

bool oa_tls_told(struct oa_tls_call *k, struct oa_tls_write *w, size_t taken, enum oa_tls_result result, int err,
		 size_t *ret_host)
{
	uintptr_t outer = oa_tls.guard_sp;
	int was = errno;
	bool more;

	oa_tls.guard_sp = (uintptr_t)__builtin_frame_address(0);
	more = oa_tls_after_write(&k->src, w, taken, result, err, ret_host);
	oa_tls.guard_sp = outer;
	errno = was;
	return more;
}

void oa_tls_session_ends(void *session)
{
	if (session && (oa_hook_active() || oa_tls_pinned()))
		OA_OBSERVE_ALWAYS()
			oa_tls_before_free(session);
}

int oa_tls_broken(int err)
{
	return err == ECONNRESET || err == EPIPE || err == ETIMEDOUT || err == ECONNABORTED || err == EHOSTUNREACH ||
			       err == ENETUNREACH ? err : 0;
}

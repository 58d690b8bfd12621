#include "scripts/doctor/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/doctor/ld_cache.h"

static const char *const default_dirs =
	"/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib";

static void folder_of(const char *path, char *ret)
{
	char *slash;

	snprintf(ret, PATH_MAX, "%s", path);
	slash = strrchr(ret, '/');
	if (slash)
		*slash = '\0';
}

/* A folder of a search path with $ORIGIN put in. */
static void expand_folder(const char *folder, size_t len, const char *origin, char *ret, size_t cap)
{
	size_t used = 0;

	ret[0] = '\0';
	while (len && used + 1 < cap) {
		bool is_origin = (len >= 7 && !strncmp(folder, "$ORIGIN", 7)) ||
				 (len >= 9 && !strncmp(folder, "${ORIGIN}", 9));
		size_t step = !is_origin ? 1 : folder[1] == '{' ? 9 : 7;

		used += (size_t)snprintf(ret + used, cap - used, "%.*s", is_origin ? PATH_MAX : 1,
					 is_origin ? origin : folder);
		folder += step;
		len -= step;
	}
}

static bool opens(struct object *object) { return elf_open(&object->elf, object->path) == ELF_OK; }

static bool look_in_folders(struct object *object, const char *folders, const char *owner_path)
{
	char origin[PATH_MAX], folder[PATH_MAX];

	folder_of(owner_path, origin);
	while (folders && *folders) {
		size_t len = strcspn(folders, ":");
		int n;

		expand_folder(folders, len, origin, folder, sizeof(folder));
		n = snprintf(object->path, sizeof(object->path), "%s/%s", folder, object->name);
		if (n < PATH_MAX && opens(object))
			return true;
		folders += len + (folders[len] == ':');
	}
	return false;
}

/* RPATH of the asker and of those that brought it in; it does not count beside a RUNPATH. */
static bool look_in_rpaths(struct objects *objects, struct object *object)
{
	if (elf_dyn_text(&objects->list[object->loader].elf, DT_RUNPATH, 0))
		return false;
	for (int i = object->loader; i >= 0; i = objects->list[i].loader) {
		struct object *owner = &objects->list[i];

		if (!elf_dyn_text(&owner->elf, DT_RUNPATH, 0) &&
		    look_in_folders(object, elf_dyn_text(&owner->elf, DT_RPATH, 0), owner->path))
			return true;
	}
	return false;
}

static bool object_find(struct objects *objects, struct object *object)
{
	struct object *owner = &objects->list[object->loader];

	if (strchr(object->name, '/')) {
		snprintf(object->path, sizeof(object->path), "%s", object->name);
		return opens(object);
	}
	if (look_in_rpaths(objects, object) ||
	    look_in_folders(object, getenv("LD_LIBRARY_PATH"), owner->path) ||
	    look_in_folders(object, elf_dyn_text(&owner->elf, DT_RUNPATH, 0), owner->path))
		return true;
	return (ld_cache_find(object->name, object->path, sizeof(object->path)) && opens(object)) ||
	       look_in_folders(object, default_dirs, owner->path);
}

static bool objects_has(const struct objects *objects, const char *name)
{
	for (size_t i = 0; i < objects->count; i++)
		if (!strcmp(objects->list[i].name, name))
			return true;
	return false;
}

static void objects_add(struct objects *objects, const char *name, int loader)
{
	struct object *object = &objects->list[objects->count];
	size_t used = strlen(objects->missing);

	if (!*name || objects->count == OBJECTS_MAX || objects_has(objects, name))
		return;
	*object = (struct object){ .loader = loader };
	elf_copy_text(object->name, sizeof(object->name), name, SIZE_MAX);
	if (object_find(objects, object))
		objects->count++;
	else if (!strstr(objects->missing, object->name))
		snprintf(objects->missing + used, sizeof(objects->missing) - used, "%s%s",
			 used ? ", " : "", object->name);
}

enum elf_result objects_open(struct objects *objects, const char *program)
{
	enum elf_result result;
	const char *name;

	*objects = (struct objects){ .list = calloc(OBJECTS_MAX + 1, sizeof(struct object)) };
	if (!objects->list)
		return ELF_UNREADABLE;
	objects->list[0].loader = -1;
	snprintf(objects->list[0].path, PATH_MAX, "%s", program);
	result = elf_open(&objects->list[0].elf, program);
	objects->count = result == ELF_OK;
	/* Breadth first, as the loader does: the list grows while it is walked. */
	for (size_t i = 0; i < objects->count; i++)
		for (size_t n = 0; (name = elf_dyn_text(&objects->list[i].elf, DT_NEEDED, n)); n++)
			objects_add(objects, name, (int)i);
	return result;
}

void objects_close(struct objects *objects)
{
	for (size_t i = 0; i < objects->count; i++)
		elf_close(&objects->list[i].elf);
	free(objects->list);
}

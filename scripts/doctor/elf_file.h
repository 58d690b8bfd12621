#pragma once
/* Reads ELF files from outside, without running them and without trusting them: whatever an offset
 * in the file says, nothing behind its end is touched. 64-bit files of this machine's byte order
 * only; of others it says what they are. */
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf {
	const uint8_t *bytes; /* the whole file, mapped */
	size_t len;
	const Elf64_Ehdr *ehdr;
	const Elf64_Phdr *phdrs;
	size_t phdr_count;
	const Elf64_Dyn *dyn;
	size_t dyn_count;
	const char *strtab; /* of the dynamic section */
	size_t strtab_len;
	const char *interp; /* "" when there is none */
};

enum elf_result { ELF_OK, ELF_UNREADABLE, ELF_NOT_ELF, ELF_OTHER_MACHINE };

/* Maps the file. Anything but ELF_OK leaves nothing to close. */
enum elf_result elf_open(struct elf *elf, const char *path);
void elf_close(struct elf *elf);

/* First value of a tag of the dynamic section. */
bool elf_dyn_value(const struct elf *elf, int64_t tag, uint64_t *ret);
/* n-th text of a tag (DT_NEEDED …), NULL at the end. */
const char *elf_dyn_text(const struct elf *elf, int64_t tag, size_t n);

/* Copies a text of a file for people: what is not printable ASCII becomes '?'. */
void elf_copy_text(char *ret, size_t cap, const char *text, size_t len);

/* Calls fn for each dynamic symbol with a name. */
typedef void elf_symbol_fn(void *arg, const char *name, bool defined);
void elf_each_symbol(const struct elf *elf, elf_symbol_fn *fn, void *arg);
bool elf_defines(const struct elf *elf, const char *name);

/* Bytes of a section by name, NULL when there is none. */
const uint8_t *elf_section(const struct elf *elf, const char *name, size_t *ret_len);

/* Whether the text stands anywhere in the file. */
bool elf_contains(const struct elf *elf, const char *text);

/* Highest GLIBC_x.y needed, as x * 1000 + y; 0: none. */
unsigned elf_glibc_needed(const struct elf *elf);

/* Name of the machine of a file that is ELF_OTHER_MACHINE. */
const char *elf_machine_name(const char *path);

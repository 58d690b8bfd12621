#include "scripts/doctor/elf_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The part [offset, offset + len) of the file, NULL when it is not all there. */
static const void *elf_at(const struct elf *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->len && len <= elf->len - offset ? elf->bytes + offset : NULL;
}

/* The same for structures, which no compiler puts at odd places. */
static const void *elf_struct_at(const struct elf *elf, uint64_t offset, uint64_t len)
{
	return offset % 8 == 0 ? elf_at(elf, offset, len) : NULL;
}

static uint64_t elf_offset_of(const struct elf *elf, uint64_t addr)
{
	for (size_t i = 0; i < elf->phdr_count; i++) {
		const Elf64_Phdr *ph = &elf->phdrs[i];

		if (ph->p_type == PT_LOAD && addr >= ph->p_vaddr &&
		    addr - ph->p_vaddr < ph->p_filesz)
			return ph->p_offset + (addr - ph->p_vaddr);
	}
	return UINT64_MAX;
}

static const void *elf_at_addr(const struct elf *elf, uint64_t addr, uint64_t len)
{
	return elf_at(elf, elf_offset_of(elf, addr), len);
}

static const void *elf_struct_at_addr(const struct elf *elf, uint64_t addr, uint64_t len)
{
	return elf_struct_at(elf, elf_offset_of(elf, addr), len);
}

/* Text at an offset of a table, "" when its end is not in the table. */
static const char *elf_text(const char *table, size_t table_len, uint64_t offset)
{
	if (!table || offset >= table_len || !memchr(table + offset, '\0', table_len - offset))
		return "";
	return table + offset;
}

void elf_copy_text(char *ret, size_t cap, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i + 1 < cap && i < len && text[i]; i++)
		ret[i] = text[i] < ' ' || text[i] > '~' ? '?' : text[i];
	ret[i] = '\0';
}

static const Elf64_Phdr *elf_segment(const struct elf *elf, uint32_t type)
{
	for (size_t i = 0; i < elf->phdr_count; i++)
		if (elf->phdrs[i].p_type == type)
			return &elf->phdrs[i];
	return NULL;
}

bool elf_dyn_value(const struct elf *elf, int64_t tag, uint64_t *ret)
{
	for (size_t i = 0; i < elf->dyn_count && elf->dyn[i].d_tag != DT_NULL; i++)
		if (elf->dyn[i].d_tag == tag) {
			*ret = elf->dyn[i].d_un.d_val;
			return true;
		}
	return false;
}

const char *elf_dyn_text(const struct elf *elf, int64_t tag, size_t n)
{
	for (size_t i = 0; i < elf->dyn_count && elf->dyn[i].d_tag != DT_NULL; i++)
		if (elf->dyn[i].d_tag == tag && n-- == 0)
			return elf_text(elf->strtab, elf->strtab_len, elf->dyn[i].d_un.d_val);
	return NULL;
}

static void elf_find_parts(struct elf *elf)
{
	const Elf64_Phdr *interp = elf_segment(elf, PT_INTERP), *dyn = elf_segment(elf, PT_DYNAMIC);
	uint64_t addr;

	elf->interp = "";
	if (interp)
		elf->interp = elf_text(elf_at(elf, interp->p_offset, interp->p_filesz),
				       interp->p_filesz, 0);
	if (!dyn)
		return;
	elf->dyn = elf_struct_at(elf, dyn->p_offset, dyn->p_filesz);
	elf->dyn_count = elf->dyn ? dyn->p_filesz / sizeof(*elf->dyn) : 0;
	if (elf_dyn_value(elf, DT_STRTAB, &addr) && elf_dyn_value(elf, DT_STRSZ, &elf->strtab_len))
		elf->strtab = elf_at_addr(elf, addr, elf->strtab_len);
}

static enum elf_result elf_check(struct elf *elf)
{
	const Elf64_Ehdr *ehdr = elf_at(elf, 0, sizeof(*ehdr));

	if (!elf_at(elf, 0, EI_NIDENT + 4) || memcmp(elf->bytes, ELFMAG, SELFMAG) != 0)
		return ELF_NOT_ELF;
	if (elf->bytes[EI_CLASS] != ELFCLASS64 || elf->bytes[EI_DATA] != ELFDATA2LSB)
		return ELF_OTHER_MACHINE;
	if (!ehdr)
		return ELF_NOT_ELF;
	if (ehdr->e_machine != EM_X86_64)
		return ELF_OTHER_MACHINE;
	elf->ehdr = ehdr;
	if (ehdr->e_phentsize == sizeof(Elf64_Phdr))
		elf->phdrs = elf_struct_at(elf, ehdr->e_phoff,
					   (uint64_t)ehdr->e_phnum * sizeof(Elf64_Phdr));
	elf->phdr_count = elf->phdrs ? ehdr->e_phnum : 0;
	elf_find_parts(elf);
	return ELF_OK;
}

static const uint8_t *elf_map(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	void *bytes = MAP_FAILED;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (bytes == MAP_FAILED)
		return NULL;
	*ret_len = (size_t)st.st_size;
	return bytes;
}

enum elf_result elf_open(struct elf *elf, const char *path)
{
	enum elf_result result;

	*elf = (struct elf){ 0 };
	elf->bytes = elf_map(path, &elf->len);
	if (!elf->bytes)
		return ELF_UNREADABLE;
	result = elf_check(elf);
	if (result != ELF_OK)
		elf_close(elf);
	return result;
}

void elf_close(struct elf *elf)
{
	if (elf->bytes)
		munmap((void *)elf->bytes, elf->len);
	*elf = (struct elf){ 0 };
}

static const Elf64_Shdr *elf_section_header(const struct elf *elf, size_t idx)
{
	if (elf->ehdr->e_shentsize != sizeof(Elf64_Shdr) || idx >= elf->ehdr->e_shnum)
		return NULL;
	return elf_struct_at(elf, elf->ehdr->e_shoff + idx * sizeof(Elf64_Shdr),
			     sizeof(Elf64_Shdr));
}

const uint8_t *elf_section(const struct elf *elf, const char *name, size_t *ret_len)
{
	const Elf64_Shdr *names = elf_section_header(elf, elf->ehdr->e_shstrndx), *sh;
	const char *table = names ? elf_at(elf, names->sh_offset, names->sh_size) : NULL;

	for (size_t i = 0; table && (sh = elf_section_header(elf, i)); i++) {
		if (sh->sh_type == SHT_NOBITS ||
		    strcmp(elf_text(table, names->sh_size, sh->sh_name), name) != 0)
			continue;
		*ret_len = sh->sh_size;
		return elf_at(elf, sh->sh_offset, sh->sh_size);
	}
	return NULL;
}

/* No tag says how many symbols there are: the section header does, else the names follow the table.
 */
static size_t elf_symbol_count(const struct elf *elf, uint64_t symtab)
{
	uint64_t strtab;
	size_t len;

	if (elf_section(elf, ".dynsym", &len))
		return len / sizeof(Elf64_Sym);
	if (elf_dyn_value(elf, DT_STRTAB, &strtab) && strtab > symtab)
		return (strtab - symtab) / sizeof(Elf64_Sym);
	return 0;
}

void elf_each_symbol(const struct elf *elf, elf_symbol_fn *fn, void *arg)
{
	const Elf64_Sym *syms;
	uint64_t symtab;
	size_t count;

	if (!elf_dyn_value(elf, DT_SYMTAB, &symtab))
		return;
	count = elf_symbol_count(elf, symtab);
	syms = elf_struct_at_addr(elf, symtab, count * sizeof(*syms));
	for (size_t i = 0; syms && i < count; i++) {
		const char *name = elf_text(elf->strtab, elf->strtab_len, syms[i].st_name);

		if (*name)
			fn(arg, name, syms[i].st_shndx != SHN_UNDEF);
	}
}

struct elf_search {
	const char *name;
	bool found;
};

static void elf_note_defined(void *arg, const char *name, bool defined)
{
	struct elf_search *search = arg;

	search->found |= defined && !strcmp(name, search->name);
}

bool elf_defines(const struct elf *elf, const char *name)
{
	struct elf_search search = { .name = name };

	elf_each_symbol(elf, elf_note_defined, &search);
	return search.found;
}

bool elf_contains(const struct elf *elf, const char *text)
{
	return memmem(elf->bytes, elf->len, text, strlen(text)) != NULL;
}

static unsigned elf_version_number(const char *version)
{
	unsigned major, minor;

	return sscanf(version, "GLIBC_%u.%u", &major, &minor) == 2 ? major * 1000 + minor : 0;
}

static unsigned elf_highest_of(const struct elf *elf, uint64_t addr, const Elf64_Verneed *need)
{
	unsigned highest = 0;

	addr += need->vn_aux;
	for (unsigned i = 0; i < need->vn_cnt; i++) {
		const Elf64_Vernaux *aux = elf_struct_at_addr(elf, addr, sizeof(*aux));
		unsigned version;

		if (!aux)
			break;
		version = elf_version_number(elf_text(elf->strtab, elf->strtab_len, aux->vna_name));
		highest = version > highest ? version : highest;
		addr += aux->vna_next;
		if (!aux->vna_next)
			break;
	}
	return highest;
}

unsigned elf_glibc_needed(const struct elf *elf)
{
	uint64_t addr, count;
	unsigned highest = 0;

	if (!elf_dyn_value(elf, DT_VERNEED, &addr) || !elf_dyn_value(elf, DT_VERNEEDNUM, &count))
		return 0;
	while (count--) {
		const Elf64_Verneed *need = elf_struct_at_addr(elf, addr, sizeof(*need));
		unsigned version;

		if (!need)
			break;
		version = elf_highest_of(elf, addr, need);
		highest = version > highest ? version : highest;
		if (!need->vn_next)
			break;
		addr += need->vn_next;
	}
	return highest;
}

const char *elf_machine_name(const char *path)
{
	size_t len = 0;
	const uint8_t *bytes = elf_map(path, &len);
	unsigned machine = 0, bits = 64;

	if (bytes && len >= 20) {
		bits = bytes[EI_CLASS] == ELFCLASS32 ? 32 : 64;
		machine = bytes[EI_DATA] == ELFDATA2LSB ? bytes[18] | bytes[19] << 8
							: bytes[19] | bytes[18] << 8;
	}
	if (bytes)
		munmap((void *)bytes, len);
	switch (machine) {
	case EM_386:
		return "32-bit x86";
	case EM_X86_64:
		return bits == 32 ? "x32" : "x86_64";
	case EM_ARM:
		return "32-bit ARM";
	case EM_AARCH64:
		return "aarch64";
	case EM_RISCV:
		return "RISC-V";
	case EM_PPC64:
		return "ppc64";
	case EM_S390:
		return "s390";
	default:
		return bits == 32 ? "another 32-bit machine" : "another machine";
	}
}

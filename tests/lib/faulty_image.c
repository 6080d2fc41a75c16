/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/faulty_image.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct faulty_page {
	uint32_t references;
	uint8_t bytes[FAULTY_PAGE];
};

static void put_page(struct faulty_page *page)
{
	if (page && --page->references == 0)
		free(page);
}

static struct faulty_page *page_at(const struct faulty_image *image, uint64_t page)
{
	return page < image->page_count ? image->pages[page] : NULL;
}

static void hold_pages(struct faulty_image *image, uint64_t count)
{
	uint64_t room = image->page_count;

	if (count <= room)
		return;
	/* Exactly what is asked for, but for files that grow by small writes. */
	count = count == room + 1 ? room + room / 8 + 1 : count;
	image->pages = realloc(image->pages, count * sizeof(*image->pages));
	CHECK(image->pages);
	memset(image->pages + room, 0, (count - room) * sizeof(*image->pages));
	image->page_count = count;
}

/* The page as the image's own, which may be written. */
static struct faulty_page *own_page(struct faulty_image *image, uint64_t index)
{
	struct faulty_page *old, *page;

	hold_pages(image, index + 1);
	old = image->pages[index];
	if (old && old->references == 1)
		return old;
	page = calloc(1, sizeof(*page));
	CHECK(page);
	if (old)
		memcpy(page->bytes, old->bytes, FAULTY_PAGE);
	put_page(old);
	page->references = 1;
	image->pages[index] = page;
	return page;
}

void faulty_image_deinit(struct faulty_image *image)
{
	for (uint64_t i = 0; i < image->page_count; i++)
		put_page(image->pages[i]);
	free(image->pages);
	*image = (struct faulty_image){0};
}

struct faulty_image faulty_image_copy(const struct faulty_image *image)
{
	struct faulty_image copy = {.size = image->size};

	hold_pages(&copy, image->page_count);
	for (uint64_t i = 0; i < image->page_count; i++)
		faulty_image_share(&copy, image, i);
	return copy;
}

/* Of [offset, offset + size), the part in the page of 'offset'. */
static size_t piece(uint64_t offset, size_t size)
{
	size_t left = FAULTY_PAGE - offset % FAULTY_PAGE;

	return size < left ? size : left;
}

void faulty_image_read(const struct faulty_image *image, uint64_t offset, void *bytes, size_t size)
{
	uint8_t *to = bytes;

	while (size > 0) {
		size_t count = piece(offset, size);
		const struct faulty_page *page = page_at(image, offset / FAULTY_PAGE);

		if (page)
			memcpy(to, page->bytes + offset % FAULTY_PAGE, count);
		else
			memset(to, 0, count);
		to += count;
		offset += count;
		size -= count;
	}
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

void faulty_image_write(struct faulty_image *image, uint64_t offset, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;

	if (image->size < offset + size)
		image->size = offset + size;
	while (size > 0) {
		size_t count = piece(offset, size);
		uint64_t page = offset / FAULTY_PAGE;

		/* Files that are filled with zeros before they are used take nothing. */
		if (page_at(image, page) || !is_zero(from, count))
			memcpy(own_page(image, page)->bytes + offset % FAULTY_PAGE, from, count);
		from += count;
		offset += count;
		size -= count;
	}
}

void faulty_image_resize(struct faulty_image *image, uint64_t size)
{
	uint64_t first_gone = (size + FAULTY_PAGE - 1) / FAULTY_PAGE;
	size_t kept = size % FAULTY_PAGE;

	for (uint64_t i = first_gone; i < image->page_count; i++) {
		put_page(image->pages[i]);
		image->pages[i] = NULL;
	}
	if (size < image->size && kept > 0 && page_at(image, size / FAULTY_PAGE))
		memset(own_page(image, size / FAULTY_PAGE)->bytes + kept, 0, FAULTY_PAGE - kept);
	image->size = size;
}

bool faulty_image_same(const struct faulty_image *a, const struct faulty_image *b, uint64_t page)
{
	return page_at(a, page) == page_at(b, page);
}

void faulty_image_share(struct faulty_image *to, const struct faulty_image *from, uint64_t page)
{
	struct faulty_page *shared = page_at(from, page);

	if (page_at(to, page) == shared)
		return;
	hold_pages(to, page + 1);
	put_page(to->pages[page]);
	to->pages[page] = shared;
	if (shared)
		shared->references++;
}

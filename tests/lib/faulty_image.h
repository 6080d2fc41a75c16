/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Faulty image - the bytes of a file, shared where they are equal
 *
 * Pages are counted references, copied when one of their owners writes. So what a
 * file holds, what of it is on the disk, and copies of the whole disk cost
 * what differs between them. A page that was never written is zeros and takes nothing.
 *
 * Threads: one for all images that share.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULTY_PAGE 4096

struct faulty_page;

/* All zero is an empty file. */
struct faulty_image {
	struct faulty_page **pages; /* NULL: zeros */
	uint64_t page_count;
	uint64_t size; /* of the file, bytes; what is behind it in the last page is zeros */
};

void faulty_image_deinit(struct faulty_image *image);
struct faulty_image faulty_image_copy(const struct faulty_image *image);

void faulty_image_read(const struct faulty_image *image, uint64_t offset, void *bytes, size_t size);

/* Grows the file to hold it. */
void faulty_image_write(struct faulty_image *image, uint64_t offset, const void *bytes,
			size_t size);

void faulty_image_resize(struct faulty_image *image, uint64_t size);

/* The page is the very same memory, or zeros, in both. */
bool faulty_image_same(const struct faulty_image *a, const struct faulty_image *b, uint64_t page);

/* Makes the page of 'to' that of 'from'; the file's size stays. */
void faulty_image_share(struct faulty_image *to, const struct faulty_image *from, uint64_t page);

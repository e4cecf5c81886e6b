/* The loops over many octets, on vectors of 32 octets where the machine has them (AVX2).
 *
 * No compiler uses them unasked, because not every x86-64 has them. So these functions are compiled
 * for them whatever the rest is compiled for, and may be called only if `wide_available()`. Each
 * does as much as goes into whole vectors, and returns how much that was; what calls it does the
 * rest. Masking runs two to three times as fast as with the vectors of 16 that compilers always use.
 *
 * Not on Windows: GCC does not align its stack for such vectors there (GCC bug 54412), and clang-cl
 * has no function to ask for the processor.
 */

#ifndef WEBSOCKET_WIDE_H
#define WEBSOCKET_WIDE_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32) && !defined(__CYGWIN__)

#include <immintrin.h>

#define WIDE_FUNCTION __attribute__((target("avx2"))) static

static inline int wide_available(void) { return __builtin_cpu_supports("avx2"); }

WIDE_FUNCTION __m256i wide_load(const unsigned char *source) {
    return _mm256_loadu_si256((const __m256i *)source);
}

WIDE_FUNCTION void wide_store(void *target, __m256i octets) {
    _mm256_storeu_si256((__m256i *)target, octets);
}

/* Write the source XORed with a key of 8 octets to the target; add what was written to `seen`,
 * one OR the other. Returns how many octets were done.
 *
 * All of a block is loaded before any of it is stored: where source and target lie a little more
 * than a multiple of 4 KiB apart, processors take a load for one of what was just stored, and wait.
 */
WIDE_FUNCTION Py_ssize_t wide_mask(unsigned char *target, const unsigned char *source,
                                   Py_ssize_t size, uint64_t key, uint64_t *seen) {
    const __m256i keys = _mm256_set1_epi64x((long long)key);
    __m256i all = _mm256_setzero_si256();
    uint64_t lanes[4];
    Py_ssize_t done = 0;
    for (; size - done >= 128; done += 128) {
        const __m256i a = _mm256_xor_si256(wide_load(source + done), keys);
        const __m256i b = _mm256_xor_si256(wide_load(source + done + 32), keys);
        const __m256i c = _mm256_xor_si256(wide_load(source + done + 64), keys);
        const __m256i d = _mm256_xor_si256(wide_load(source + done + 96), keys);
        all = _mm256_or_si256(all, _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
        wide_store(target + done, a);
        wide_store(target + done + 32, b);
        wide_store(target + done + 64, c);
        wide_store(target + done + 96, d);
    }
    wide_store(lanes, all);
    *seen |= lanes[0] | lanes[1] | lanes[2] | lanes[3];
    return done;
}

/* Count the octets that begin a character of UTF-8, and find the largest octet. Returns how many
 * octets were looked at.
 */
WIDE_FUNCTION Py_ssize_t wide_count(const unsigned char *source, Py_ssize_t size,
                                    Py_ssize_t *characters, unsigned char *largest) {
    /* As signed octets, those that go on a character are -128 to -65. */
    const __m256i last_of_them = _mm256_set1_epi8(-65);
    __m256i highest = _mm256_setzero_si256();
    __m256i total = _mm256_setzero_si256();
    uint64_t lanes[4];
    unsigned char octets[32];
    Py_ssize_t done = 0;
    int i;
    while (size - done >= 32) {
        /* A lane counts to 255, then it has to be emptied. */
        __m256i counts = _mm256_setzero_si256();
        for (i = 0; i < 255 && size - done >= 32; i++, done += 32) {
            const __m256i block = wide_load(source + done);
            highest = _mm256_max_epu8(highest, block);
            counts = _mm256_sub_epi8(counts, _mm256_cmpgt_epi8(block, last_of_them));
        }
        total = _mm256_add_epi64(total, _mm256_sad_epu8(counts, _mm256_setzero_si256()));
    }
    wide_store(lanes, total);
    *characters += (Py_ssize_t)(lanes[0] + lanes[1] + lanes[2] + lanes[3]);
    wide_store(octets, highest);
    for (i = 0; i < 32; i++)
        if (octets[i] > *largest)
            *largest = octets[i];
    return done;
}

/* Decode characters of three octets, eight at a time, as far as there are but sound ones. Returns
 * how many characters were decoded.
 */
WIDE_FUNCTION Py_ssize_t wide_decode(uint16_t *target, const unsigned char *source,
                                     Py_ssize_t size) {
    /* Four times three octets to four lanes, the first octet of each to the top. */
    const __m256i order = _mm256_setr_epi8(
        2, 1, 0, -1, 5, 4, 3, -1, 8, 7, 6, -1, 11, 10, 9, -1,
        2, 1, 0, -1, 5, 4, 3, -1, 8, 7, 6, -1, 11, 10, 9, -1);
    Py_ssize_t done = 0;
    /* 24 octets are decoded, 28 are loaded. */
    for (; size - 3 * done >= 28; done += 8) {
        const unsigned char *from = source + 3 * done;
        const __m128i low = _mm_loadu_si128((const __m128i *)from);
        const __m128i high = _mm_loadu_si128((const __m128i *)(from + 12));
        const __m256i octets = _mm256_shuffle_epi8(
            _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), order);
        const __m256i fixed = _mm256_and_si256(octets, _mm256_set1_epi32(0xF0C0C0));
        const __m256i code = _mm256_or_si256(
            _mm256_or_si256(
                _mm256_and_si256(_mm256_srli_epi32(octets, 4), _mm256_set1_epi32(0xF000)),
                _mm256_and_si256(_mm256_srli_epi32(octets, 2), _mm256_set1_epi32(0x0FC0))),
            _mm256_and_si256(octets, _mm256_set1_epi32(0x3F)));
        /* RFC 3629 section 3: U+0000 to U+07FF are shorter, U+D800 to U+DFFF are no characters. */
        const __m256i range = _mm256_and_si256(code, _mm256_set1_epi32(0xF800));
        const __m256i unsound = _mm256_or_si256(
            _mm256_xor_si256(fixed, _mm256_set1_epi32(0xE08080)),
            _mm256_or_si256(_mm256_cmpeq_epi32(range, _mm256_setzero_si256()),
                            _mm256_cmpeq_epi32(range, _mm256_set1_epi32(0xD800))));
        if (!_mm256_testz_si256(unsound, unsound))
            break;
        _mm_storeu_si128((__m128i *)(target + done),
                         _mm_packus_epi32(_mm256_castsi256_si128(code),
                                          _mm256_extracti128_si256(code, 1)));
    }
    return done;
}

#undef WIDE_FUNCTION

#else

static inline int wide_available(void) { return 0; }

static Py_ssize_t wide_mask(unsigned char *target, const unsigned char *source, Py_ssize_t size,
                            uint64_t key, uint64_t *seen) {
    return 0;
}

static Py_ssize_t wide_count(const unsigned char *source, Py_ssize_t size, Py_ssize_t *characters,
                             unsigned char *largest) {
    return 0;
}

static Py_ssize_t wide_decode(uint16_t *target, const unsigned char *source, Py_ssize_t size) {
    return 0;
}

#endif

#endif

/* The likeliest tokens of a row of logits.

   A vocabulary of 128,000 tokens makes llama.cpp's sampler fill, and its first stage read, 1.5 MB for every token that
   is drawn, by one thread while the others wait. Most draws depend on a few of the likeliest tokens alone: this finds
   them in one pass that a compiler turns into vector instructions of any CPU, and a look at the few places that matter.

   No C library is needed. */

#include <stdint.h>

enum {
    LANES = 16,       /* logits compared at once: a whole number of vectors of any instruction set */
    BLOCKS = 4096,    /* places of which the largest logit is noted */
    MOST = 1024       /* of the likeliest tokens asked for */
};

struct candidate { /* llama.h's llama_token_data */
    int32_t id;
    float logit;
    float probability;
};

#if defined(_WIN32)
__declspec(dllexport)
#else
__attribute__((visibility("default")))
#endif
int32_t bundle_likeliest(const float *logits, int32_t size, int32_t wanted, struct candidate *found, int32_t room);

static float largest(const float *logits, int32_t size)
{
    float lanes[LANES];
    int32_t at = 0;

    for (int lane = 0; lane < LANES; lane++)
        lanes[lane] = -__builtin_inff();
    for (; at + LANES <= size; at += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lanes[lane] = logits[at + lane] > lanes[lane] ? logits[at + lane] : lanes[lane];
    for (int lane = 0; at < size; at++, lane++)
        lanes[lane] = logits[at] > lanes[lane] ? logits[at] : lanes[lane];
    for (int lane = 1; lane < LANES; lane++)
        lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
    return lanes[0];
}

/* Put `value` in the place of the smallest of a heap, which is its first. */
static void replace_smallest(float *heap, int32_t size, float value)
{
    int32_t at = 0;

    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= size)
            break;
        if (child + 1 < size && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

/* Fill `found` with every token whose logit is among the `wanted` largest, and some of the next ones, by ascending id.

   Returns how many they are: at least `wanted`, where so many have a logit above minus infinity that is a number.
   Returns 0 where they cannot be told from all others: they do not fit into `room`, or `wanted` is not in 1..MOST or
   more than there are blocks. */
int32_t bundle_likeliest(const float *logits, int32_t size, int32_t wanted, struct candidate *found, int32_t room)
{
    float maxima[BLOCKS], heap[MOST];
    int32_t length, blocks, count = 0;

    if (size < 1 || wanted < 1 || wanted > MOST)
        return 0;
    length = ((size - 1) / BLOCKS / LANES + 1) * LANES;
    blocks = (size - 1) / length + 1;
    if (wanted > blocks)
        return 0;
    for (int32_t at = 0; at < wanted; at++)
        heap[at] = -__builtin_inff();
    for (int32_t block = 0; block < blocks; block++) {
        int32_t begin = block * length;
        maxima[block] = largest(logits + begin, size - begin < length ? size - begin : length);
        if (maxima[block] > heap[0])
            replace_smallest(heap, wanted, maxima[block]);
    }
    if (heap[0] == -__builtin_inff())
        return 0;
    for (int32_t block = 0; block < blocks; block++) {
        if (maxima[block] < heap[0])
            continue;
        int32_t begin = block * length, end = size - begin < length ? size : begin + length;
        for (int32_t id = begin; id < end; id++) {
            if (!(logits[id] >= heap[0]))
                continue;
            if (count == room)
                return 0;
            found[count++] = (struct candidate){ id, logits[id], 0.0F };
        }
    }
    return count;
}

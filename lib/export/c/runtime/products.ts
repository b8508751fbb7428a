import type { Piece } from './piece.ts';

/** Products with constant weights: matrices, convolutions, depthwise convolutions. */
export const PRODUCTS = {
  unpack: {
    needs: [],
    text: `/* Integers first ... first + count - 1 of \`bits\` bits: least significant bit first, two's complement. */
static void unpack(const uint8_t *packed, int32_t first, int32_t count, int32_t bits, int8_t *q)
{
    const uint32_t at = (uint32_t)first * (uint32_t)bits;
    const uint32_t mask = ((uint32_t)1 << bits) - 1u;
    const int32_t sign = (int32_t)1 << (bits - 1);
    const uint8_t *next = packed + (at >> 3);
    uint32_t window;
    int32_t i, held = 8 - (int32_t)(at & 7u);

    if (count <= 0)
        return;
    window = (uint32_t)*next++ >> (at & 7u);
    for (i = 0; i < count; i++) {
        if (held < bits) {
            window |= (uint32_t)*next++ << held;
            held += 8;
        }
        q[i] = (int8_t)(((int32_t)(window & mask) ^ sign) - sign);
        window >>= bits;
        held -= bits;
    }
}`,
  },
  rows: {
    needs: ['unpack'],
    text: `/* Weights of \`count\` output channels, each \`depth\` bytes long: where they are, or unpacked into the scratch. */
static const int8_t *rows(const layer *l, int32_t first, int32_t count, int32_t depth, int8_t *scratch)
{
    if (l->bits == 8)
        return (const int8_t *)l->weights + first * depth;
    unpack(l->weights, first * depth, count * depth, l->bits, scratch);
    return scratch;
}`,
  },
  rows_by_tap: {
    needs: ['unpack', 'rows'],
    text: `/* The same for one channel of a filter that may lie tap by tap, the channels of each tap together. */
static const int8_t *rows_by_tap(const layer *l, int32_t channel, int32_t taps, int8_t *scratch)
{
    int32_t tap;

    if (!l->by_tap)
        return rows(l, channel, 1, taps, scratch);
    for (tap = 0; tap < taps; tap++)
        unpack(l->weights, tap * l->shape.out_channels + channel, 1, l->bits, scratch + tap);
    return scratch;
}`,
  },
  dots: {
    needs: [],
    text: `/*
 * sums[r] += sum of (x[i] - zero) * w[r * depth + i] for i < n, r < count <= 4. Four rows at a time: with Arm's DSP
 * instructions four products of each by two SMLADs.
 */
static void dots(const uint8_t *x, int32_t zero, const int8_t *w, int32_t depth, int32_t n, int32_t count, int32_t *sums)
{
    int32_t i = 0, r;

    if (count == 4) {
        const int8_t *w1 = w + depth, *w2 = w1 + depth, *w3 = w2 + depth;
        int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

#if defined(__ARM_FEATURE_SIMD32)
        const uint32_t zeros = (uint32_t)zero * 0x10001u;

        for (; i + 4 <= n; i += 4) {
            const int8_t *row = w + i;
            uint32_t a, b;
            int32_t even, odd;

            memcpy(&a, x + i, 4);
            even = (int32_t)__usub16(__uxtb16(a), zeros);
            odd = (int32_t)__usub16(__uxtb16(a >> 8), zeros);
            memcpy(&b, row, 4);
            s0 = __smlad(__sxtb16((int32_t)b), even, __smlad(__sxtb16((int32_t)(b >> 8)), odd, s0));
            memcpy(&b, row += depth, 4);
            s1 = __smlad(__sxtb16((int32_t)b), even, __smlad(__sxtb16((int32_t)(b >> 8)), odd, s1));
            memcpy(&b, row += depth, 4);
            s2 = __smlad(__sxtb16((int32_t)b), even, __smlad(__sxtb16((int32_t)(b >> 8)), odd, s2));
            memcpy(&b, row += depth, 4);
            s3 = __smlad(__sxtb16((int32_t)b), even, __smlad(__sxtb16((int32_t)(b >> 8)), odd, s3));
        }
#endif
        for (; i < n; i++) {
            const int32_t a = x[i] - zero;

            s0 += a * w[i];
            s1 += a * w1[i];
            s2 += a * w2[i];
            s3 += a * w3[i];
        }
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        return;
    }
    for (r = 0; r < count; r++, w += depth)
        for (i = 0; i < n; i++)
            sums[r] += (x[i] - zero) * w[i];
}`,
  },
  finish: {
    needs: ['level', 'put_float', 'rounded', 'scaled'],
    text: `/* fl(fl(sum + bias) * multiplier), the sum wrapping at 32 bits; quantized unless it is an output of the network. */
static void finish(const layer *l, int32_t channel, int32_t sum, uint8_t *y, int32_t at)
{
    const uint32_t total = (uint32_t)sum + (uint32_t)l->bias[channel];
    const int32_t wrapped = total <= INT32_MAX ? (int32_t)total : -(int32_t)(UINT32_MAX - total) - 1;
    const float value = scaled(wrapped, l->multipliers[channel]);

    if (l->is_float)
        put_float(y, at, rounded(value));
    else
        y[at] = (uint8_t)level(value, l->out_zero, l->low, l->high);
}`,
  },
  product: {
    needs: ['rows', 'dots', 'finish'],
    text: `/* A matrix product: each pixel's channels times the weights of each output channel. */
static void product(const layer *l, const uint8_t *x, uint8_t *y, int8_t *scratch)
{
    const shape *s = &l->shape;
    const int32_t depth = s->in_channels, out = s->out_channels;
    const int32_t pixels = (int32_t)s->batch * s->in_height * s->in_width;
    int32_t n, p, i;

    for (n = 0; n < out; n += l->tile) {
        const int32_t count = out - n < l->tile ? out - n : l->tile;
        const int8_t *w = rows(l, n, count, depth, scratch);

        for (p = 0; p < pixels; p++) {
            int32_t sums[4] = {0, 0, 0, 0};

            dots(x + p * depth, l->zero, w, depth, depth, count, sums);
            for (i = 0; i < count; i++)
                finish(l, n + i, sums[i], y, p * out + n + i);
        }
    }
}`,
  },
  convolution: {
    needs: ['rows', 'dots', 'finish', 'first_tap', 'end_tap'],
    text: `/* Windows over the input; what lies outside it is the zero point and adds nothing. */
static void convolution(const layer *l, const uint8_t *x, uint8_t *y, int8_t *scratch)
{
    const shape *s = &l->shape;
    const int32_t in = s->in_channels, out = s->out_channels, zero = l->zero;
    const int32_t channels = in / s->groups, per_group = out / s->groups;
    const int32_t depth = (int32_t)s->kernel_height * s->kernel_width * channels;
    const int32_t step = s->dilation_width * in;
    const int32_t in_line = s->dilation_width == 1 && s->groups == 1; /* a row of taps is one piece of the input */
    int32_t n, count, row, ox, i, ky, kx;

    for (n = 0; n < out; n += count) {
        const int32_t group = n / per_group, left = (group + 1) * per_group - n;
        const int8_t *w;
        int32_t at_y = n;

        count = left < l->tile ? left : l->tile;
        w = rows(l, n, count, depth, scratch);
        for (row = 0; row < (int32_t)s->batch * s->out_height; row++) {
            const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
            const int32_t top = row / s->out_height * s->in_height + iy;
            const int32_t first = first_tap(iy, s->dilation_height);
            const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);

            for (ox = 0; ox < s->out_width; ox++, at_y += out) {
                const int32_t ix = ox * s->stride_width - s->pad_left;
                const int32_t from = first_tap(ix, s->dilation_width);
                const int32_t to = end_tap(ix, s->dilation_width, s->kernel_width, s->in_width);
                int32_t sums[4] = {0, 0, 0, 0};

                for (ky = first; ky < last && from < to; ky++) {
                    const int32_t line = top + ky * s->dilation_height;
                    const int32_t at = (line * s->in_width + ix) * in + group * channels;
                    const int8_t *b = w + ky * s->kernel_width * channels;

                    if (in_line)
                        dots(x + (at + from * in), zero, b + from * channels, depth, (to - from) * channels, count, sums);
                    else
                        for (kx = from; kx < to; kx++)
                            dots(x + (at + kx * step), zero, b + kx * channels, depth, channels, count, sums);
                }
                for (i = 0; i < count; i++)
                    finish(l, n + i, sums[i], y, at_y + i);
            }
        }
    }
}`,
  },
  depthwise: {
    needs: ['rows_by_tap', 'finish', 'first_tap', 'end_tap'],
    text: `/* A convolution whose output channels read one input channel each. */
static void depthwise(const layer *l, const uint8_t *x, uint8_t *y, int8_t *scratch)
{
    const shape *s = &l->shape;
    const int32_t in = s->in_channels, out = s->out_channels, zero = l->zero;
    const int32_t width = s->kernel_width, taps = s->kernel_height * width;
    const int32_t step = s->dilation_width * in;
    int32_t n, row, ox, ky, kx;

    for (n = 0; n < out; n++) {
        const int8_t *w = rows_by_tap(l, n, taps, scratch);
        const int32_t channel = n / (out / in);
        int32_t at_y = n;

        for (row = 0; row < (int32_t)s->batch * s->out_height; row++) {
            const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
            const int32_t top = row / s->out_height * s->in_height + iy;
            const int32_t first = first_tap(iy, s->dilation_height);
            const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);

            for (ox = 0; ox < s->out_width; ox++, at_y += out) {
                const int32_t ix = ox * s->stride_width - s->pad_left;
                const int32_t from = first_tap(ix, s->dilation_width);
                const int32_t to = end_tap(ix, s->dilation_width, width, s->in_width);
                int32_t sum = 0;

                for (ky = first; ky < last; ky++) {
                    const int32_t line = top + ky * s->dilation_height;
                    const int32_t at = (line * s->in_width + ix) * in + channel;
                    const int8_t *b = w + ky * width;

                    for (kx = from; kx < to; kx++)
                        sum += (x[at + kx * step] - zero) * b[kx];
                }
                finish(l, n, sum, y, at_y);
            }
        }
    }
}`,
  },
} satisfies Record<string, Piece>;

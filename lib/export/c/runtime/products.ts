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
    text: `/* sums[r] += sum of (x[i] - zero) * w[r * depth + i] for i < n, r < count <= 4. */
static void dots(const uint8_t *x, int32_t zero, const int8_t *w, int32_t depth, int32_t n, int32_t count, int32_t *sums)
{
    int32_t i, r;

    if (count == 4) {
        const int8_t *w1 = w + depth, *w2 = w1 + depth, *w3 = w2 + depth;
        int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];

        for (i = 0; i < n; i++) {
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

    for (n = 0; n < out; n += 4) {
        const int32_t count = out - n < 4 ? out - n : 4;
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
    const int32_t in = s->in_channels, out = s->out_channels;
    const int32_t channels = in / s->groups, per_group = out / s->groups;
    const int32_t depth = (int32_t)s->kernel_height * s->kernel_width * channels;
    const int32_t step = s->dilation_width * in;
    const int32_t in_line = s->dilation_width == 1 && s->groups == 1; /* a row of taps is one piece of the input */
    int32_t n, count, pixel, i, ky, kx;

    for (n = 0; n < out; n += count) {
        const int32_t group = n / per_group, left = (group + 1) * per_group - n;
        const int8_t *w;

        count = left < 4 ? left : 4;
        w = rows(l, n, count, depth, scratch);
        for (pixel = 0; pixel < (int32_t)s->batch * s->out_height * s->out_width; pixel++) {
            const int32_t row = pixel / s->out_width;
            const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
            const int32_t ix = pixel % s->out_width * s->stride_width - s->pad_left;
            const int32_t from = first_tap(ix, s->dilation_width);
            const int32_t to = end_tap(ix, s->dilation_width, s->kernel_width, s->in_width);
            const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);
            int32_t sums[4] = {0, 0, 0, 0};

            for (ky = first_tap(iy, s->dilation_height); ky < last && from < to; ky++) {
                const int32_t line = row / s->out_height * s->in_height + iy + ky * s->dilation_height;
                const int32_t at = (line * s->in_width + ix) * in + group * channels;
                const int8_t *b = w + ky * s->kernel_width * channels;

                if (in_line)
                    dots(x + (at + from * in), l->zero, b + from * channels, depth, (to - from) * channels, count, sums);
                else
                    for (kx = from; kx < to; kx++)
                        dots(x + (at + kx * step), l->zero, b + kx * channels, depth, channels, count, sums);
            }
            for (i = 0; i < count; i++)
                finish(l, n + i, sums[i], y, pixel * out + n + i);
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
    const int32_t in = s->in_channels, out = s->out_channels;
    const int32_t taps = (int32_t)s->kernel_height * s->kernel_width;
    const int32_t step = s->dilation_width * in;
    int32_t n, pixel, ky, kx;

    for (n = 0; n < out; n++) {
        const int8_t *w = rows_by_tap(l, n, taps, scratch);
        const int32_t channel = n / (out / in);

        for (pixel = 0; pixel < (int32_t)s->batch * s->out_height * s->out_width; pixel++) {
            const int32_t row = pixel / s->out_width;
            const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
            const int32_t ix = pixel % s->out_width * s->stride_width - s->pad_left;
            const int32_t from = first_tap(ix, s->dilation_width);
            const int32_t to = end_tap(ix, s->dilation_width, s->kernel_width, s->in_width);
            const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);
            int32_t sum = 0;

            for (ky = first_tap(iy, s->dilation_height); ky < last; ky++) {
                const int32_t line = row / s->out_height * s->in_height + iy + ky * s->dilation_height;
                const int32_t at = (line * s->in_width + ix) * in + channel;
                const int8_t *b = w + ky * s->kernel_width;

                for (kx = from; kx < to; kx++)
                    sum += (x[at + kx * step] - l->zero) * b[kx];
            }
            finish(l, n, sum, y, pixel * out + n);
        }
    }
}`,
  },
} satisfies Record<string, Piece>;

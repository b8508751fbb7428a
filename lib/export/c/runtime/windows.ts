import type { Piece } from './piece.ts';

/** Pools, and where a window lies inside its input. */
export const WINDOWS = {
  first_tap: {
    needs: [],
    text: `/* The first tap of a window from \`start\` on that lies inside, and the one behind the last. */
static int32_t first_tap(int32_t start, int32_t dilation)
{
    return start >= 0 ? 0 : (dilation - 1 - start) / dilation;
}`,
  },
  end_tap: {
    needs: [],
    text: `static int32_t end_tap(int32_t start, int32_t dilation, int32_t kernel, int32_t size)
{
    const int32_t end = start >= size ? 0 : (size - start + dilation - 1) / dilation;

    return end < kernel ? end : kernel;
}`,
  },
  max_pool: {
    needs: ['first_tap', 'end_tap'],
    text: `static void max_pool(const shape *s, const uint8_t *x, uint8_t *y)
{
    const int32_t channels = s->in_channels;
    int32_t pixel, ky, kx, c;

    for (pixel = 0; pixel < (int32_t)s->batch * s->out_height * s->out_width; pixel++, y += channels) {
        const int32_t row = pixel / s->out_width;
        const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
        const int32_t ix = pixel % s->out_width * s->stride_width - s->pad_left;
        const int32_t to = end_tap(ix, s->dilation_width, s->kernel_width, s->in_width);
        const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);

        memset(y, 0, (size_t)channels);
        for (ky = first_tap(iy, s->dilation_height); ky < last; ky++) {
            const int32_t line = row / s->out_height * s->in_height + iy + ky * s->dilation_height;

            for (kx = first_tap(ix, s->dilation_width); kx < to; kx++) {
                const uint8_t *a = x + (line * s->in_width + ix + kx * s->dilation_width) * channels;

                for (c = 0; c < channels; c++)
                    y[c] = a[c] > y[c] ? a[c] : y[c];
            }
        }
    }
}`,
  },
  float_pool: {
    needs: ['first_tap', 'end_tap', 'get_float', 'put_float', 'rounded'],
    text: `/* Of floats: the maximum, or the sum tap by tap over their number (all of the window with \`whole\`). */
static void float_pool(const shape *s, int32_t average, int32_t whole, const uint8_t *x, uint8_t *y)
{
    const int32_t channels = s->in_channels;
    int32_t pixel, ky, kx, c;

    for (pixel = 0; pixel < (int32_t)s->batch * s->out_height * s->out_width; pixel++) {
        const int32_t row = pixel / s->out_width;
        const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
        const int32_t ix = pixel % s->out_width * s->stride_width - s->pad_left;
        const int32_t from = first_tap(ix, s->dilation_width);
        const int32_t to = end_tap(ix, s->dilation_width, s->kernel_width, s->in_width);
        const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);

        for (c = 0; c < channels; c++) {
            float result = average ? 0.0f : -HUGE_VALF;
            int32_t count = 0;

            for (ky = first_tap(iy, s->dilation_height); ky < last; ky++) {
                const int32_t line = row / s->out_height * s->in_height + iy + ky * s->dilation_height;

                for (kx = from; kx < to; kx++, count++) {
                    const float value = get_float(x, (line * s->in_width + ix + kx * s->dilation_width) * channels + c);

                    if (average)
                        result = rounded(result + value);
                    else if (value > result)
                        result = value;
                }
            }
            if (average)
                result = rounded(result / (float)(whole ? (int32_t)s->kernel_height * s->kernel_width : count));
            put_float(y, pixel * channels + c, result);
        }
    }
}`,
  },
  average_pool: {
    needs: ['first_tap', 'end_tap', 'quantized', 'rounded'],
    text: `/* Dequantized value by value, averaged as floats (taps row by row, one division), quantized. */
static void average_pool(const shape *s, int32_t whole, const uint8_t *x, float scale, int32_t zero,
                         const quantizer *q, uint8_t *y)
{
    const int32_t channels = s->in_channels;
    int32_t pixel, ky, kx, c;

    for (pixel = 0; pixel < (int32_t)s->batch * s->out_height * s->out_width; pixel++) {
        const int32_t row = pixel / s->out_width;
        const int32_t iy = row % s->out_height * s->stride_height - s->pad_top;
        const int32_t ix = pixel % s->out_width * s->stride_width - s->pad_left;
        const int32_t from = first_tap(ix, s->dilation_width);
        const int32_t to = end_tap(ix, s->dilation_width, s->kernel_width, s->in_width);
        const int32_t last = end_tap(iy, s->dilation_height, s->kernel_height, s->in_height);

        for (c = 0; c < channels; c++) {
            float sum = 0.0f;
            int32_t count = 0;

            for (ky = first_tap(iy, s->dilation_height); ky < last; ky++) {
                const int32_t line = row / s->out_height * s->in_height + iy + ky * s->dilation_height;

                for (kx = from; kx < to; kx++, count++) {
                    const int32_t at = (line * s->in_width + ix + kx * s->dilation_width) * channels + c;
                    const float value = rounded((float)(x[at] - zero) * scale);

                    sum = rounded(sum + value);
                }
            }
            sum = rounded(sum / (float)(whole ? (int32_t)s->kernel_height * s->kernel_width : count));
            y[pixel * channels + c] = quantized(sum, q);
        }
    }
}`,
  },
  global_average: {
    needs: ['level', 'scaled'],
    text: `/* [batch][pixels][channels] -> [batch][channels]. */
static void global_average(const uint8_t *x, int32_t batch, int32_t pixels, int32_t channels, int32_t zero,
                           float multiplier, int32_t out_zero, int32_t low, int32_t high, uint8_t *y)
{
    int32_t n, c, p;

    for (n = 0; n < batch; n++, x += pixels * channels)
        for (c = 0; c < channels; c++) {
            int32_t sum = -pixels * zero;

            for (p = 0; p < pixels; p++)
                sum += x[p * channels + c];
            *y++ = (uint8_t)level(scaled(sum, multiplier), out_zero, low, high);
        }
}`,
  },
} satisfies Record<string, Piece>;

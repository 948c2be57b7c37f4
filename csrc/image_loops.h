/* The loops of image.c for one type of pixel. The including file has defined IMAGE_T (the pixel),
 * IMAGE_SUM (what is computed in), IMAGE_NAME, IMAGE_WEIGHTS (of corners), IMAGE_STORE (a sum as a
 * pixel), IMAGE_UNIT and IMAGE_FROM_UNIT (a pixel as a number from 0 to 1, and back); they are
 * undefined again at the end. */

/* Pixels at their offsets in the plane; offset -1: the fill. */
static void IMAGE_NAME(take_nearest)(void *to, const void *from, const int32_t *offsets,
                                     int64_t count, double fill) {
    IMAGE_T *out = to;
    const IMAGE_T *plane = from;
    const IMAGE_T outside = IMAGE_STORE((IMAGE_SUM)fill);
    for (int64_t i = 0; i < count; i++) out[i] = offsets[i] < 0 ? outside : plane[offsets[i]];
}

static void IMAGE_NAME(find_corners)(const double *x, const double *y, int64_t count,
                                     int64_t height, int64_t width, corners *at) {
    for (int64_t i = 0; i < count; i++) {
        const int near = x[i] > -1 && x[i] < (double)width && y[i] > -1 && y[i] < (double)height;
        const int64_t column = near ? floor_index(x[i]) : -2, row = near ? floor_index(y[i]) : -2;
        const IMAGE_SUM right = (IMAGE_SUM)(near ? x[i] - (double)column : 0);
        const IMAGE_SUM below = (IMAGE_SUM)(near ? y[i] - (double)row : 0);
        at->IMAGE_WEIGHTS[0][i] = (1 - right) * (1 - below);
        at->IMAGE_WEIGHTS[1][i] = right * (1 - below);
        at->IMAGE_WEIGHTS[2][i] = (1 - right) * below;
        at->IMAGE_WEIGHTS[3][i] = right * below;
        at->whole[i] = column >= 0 && row >= 0 && column + 1 < width && row + 1 < height;
        at->offset[i] = (int32_t)(row * width + column);
        if (at->whole[i]) continue;
        for (int k = 0; k < 4; k++) {
            const int64_t c = column + k % 2, r = row + k / 2;
            const int inside = c >= 0 && r >= 0 && c < width && r < height;
            at->corner[k][i] = inside ? (int32_t)(r * width + c) : -1;
        }
    }
}

/* Weighted means of four pixels. With a fill: value * c + fill * (1 - c), where c is the sum of the
 * weights inside; they are 1 in all where all four are. */
static void IMAGE_NAME(take_bilinear)(void *to, const void *from, const corners *at, int64_t count,
                                      int64_t width, const double *fill) {
    IMAGE_T *out = to;
    const IMAGE_T *plane = from;
    const IMAGE_SUM outside = fill ? (IMAGE_SUM)*fill : 0;
    for (int64_t i = 0; i < count; i++) {
        IMAGE_SUM value = 0, covered = 0;
        if (at->whole[i]) {
            const IMAGE_T *pixel = plane + at->offset[i];
            value = at->IMAGE_WEIGHTS[0][i] * (IMAGE_SUM)pixel[0];
            value += at->IMAGE_WEIGHTS[1][i] * (IMAGE_SUM)pixel[1];
            value += at->IMAGE_WEIGHTS[2][i] * (IMAGE_SUM)pixel[width];
            value += at->IMAGE_WEIGHTS[3][i] * (IMAGE_SUM)pixel[width + 1];
        } else {
            for (int k = 0; k < 4; k++) {
                const int32_t offset = at->corner[k][i];
                if (offset < 0) continue;
                covered += at->IMAGE_WEIGHTS[k][i];
                value += at->IMAGE_WEIGHTS[k][i] * (IMAGE_SUM)plane[offset];
            }
            if (fill) value = value * covered + outside * (1 - covered);
        }
        out[i] = IMAGE_STORE(value);
    }
}

/* Along the rows: out[y][x] = sum of weights[x][k] in[y][start + k], span = (start, count). */
static void IMAGE_NAME(resample_rows)(void *to, const void *from, int64_t rows, int64_t width,
                                      const axis *axis) {
    const IMAGE_T *in = from;
    IMAGE_SUM *out = to;
    const IMAGE_SUM *weights = axis->weights;
    for (int64_t y = 0; y < rows; y++, in += width, out += axis->size) {
        for (int64_t x = 0; x < axis->size; x++) {
            const IMAGE_SUM *weight = weights + x * axis->taps;
            const IMAGE_T *source = in + axis->spans[2 * x];
            IMAGE_SUM sum = 0;
            for (int64_t k = 0; k < axis->spans[2 * x + 1]; k++)
                sum += weight[k] * (IMAGE_SUM)source[k];
            out[x] = sum;
        }
    }
}

/* Along the columns; `from` starts at row `first` of the plane. */
static void IMAGE_NAME(resample_columns)(void *to, const void *from, int64_t width, int64_t first,
                                         const axis *axis) {
    IMAGE_T *out = to;
    const IMAGE_SUM *weights = axis->weights;
    IMAGE_SUM sums[COLUMNS];
    for (int64_t y = 0; y < axis->size; y++, out += width) {
        const IMAGE_SUM *in = (const IMAGE_SUM *)from + (axis->spans[2 * y] - first) * width;
        for (int64_t begin = 0; begin < width; begin += COLUMNS) {
            int64_t count = width - begin < COLUMNS ? width - begin : COLUMNS;
            memset(sums, 0, sizeof sums);
            for (int64_t k = 0; k < axis->spans[2 * y + 1]; k++) {
                const IMAGE_SUM weight = weights[y * axis->taps + k];
                const IMAGE_SUM *row = in + k * width + begin;
                for (int64_t x = 0; x < count; x++) sums[x] += weight * row[x];
            }
            for (int64_t x = 0; x < count; x++) out[begin + x] = IMAGE_STORE(sums[x]);
        }
    }
}

/* Turns the hue of pixels: red, green and blue lie `plane` pixels apart. To hue, saturation and
 * value and back; h in sixths of the circle. */
static void IMAGE_NAME(turn_hue)(void *to, const void *from, int64_t plane, double shift) {
    IMAGE_T *out = to;
    const IMAGE_T *in = from;
    for (int64_t i = 0; i < plane; i++) {
        const IMAGE_SUM r = IMAGE_UNIT(in[i]), g = IMAGE_UNIT(in[i + plane]);
        const IMAGE_SUM b = IMAGE_UNIT(in[i + 2 * plane]);
        const IMAGE_SUM most = r > g ? (r > b ? r : b) : (g > b ? g : b);
        const IMAGE_SUM least = r < g ? (r < b ? r : b) : (g < b ? g : b);
        const IMAGE_SUM chroma = most - least, unit = chroma != 0 ? chroma : 1;
        const IMAGE_SUM saturation = chroma != 0 ? chroma / most : 0;
        IMAGE_SUM h = r == most   ? (g - b) / unit
                      : g == most ? 2 + (b - r) / unit
                                  : 4 + (r - g) / unit;
        h += 6 * (IMAGE_SUM)shift; /* from -4 to 8 */
        h += h < 0 ? 6 : 0;
        h -= h >= 6 ? 6 : 0;
        const int sector = h >= 0 && h < 6 ? (int)h : 0; /* NaN: the values are NaN anyway */
        const IMAGE_SUM part = h - (IMAGE_SUM)sector;
        const IMAGE_SUM p = unit_clamp(most * (1 - saturation));
        const IMAGE_SUM q = unit_clamp(most * (1 - saturation * part));
        const IMAGE_SUM t = unit_clamp(most * (1 - saturation * (1 - part)));
        const IMAGE_SUM of_sector[] = {most, q, p,
                                       p,    t, most}; /* red; the others are 2, 4 behind */
        out[i] = IMAGE_FROM_UNIT(of_sector[sector]);
        out[i + plane] = IMAGE_FROM_UNIT(of_sector[(sector + 4) % 6]);
        out[i + 2 * plane] = IMAGE_FROM_UNIT(of_sector[(sector + 2) % 6]);
    }
}

#undef IMAGE_T
#undef IMAGE_SUM
#undef IMAGE_NAME
#undef IMAGE_WEIGHTS
#undef IMAGE_STORE
#undef IMAGE_UNIT
#undef IMAGE_FROM_UNIT

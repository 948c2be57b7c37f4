/* The loops of grid_sample.c for one dtype. The including file has defined GRID_T and GRID_NAME;
 * they are undefined again at the end. */

/* A place from -1 to 1 in pixels, brought back into the image by the padding; slope: its
 * derivative. */
static GRID_T GRID_NAME(find_place)(GRID_T g, int64_t size, const sampling *s, GRID_T *slope) {
    const GRID_T last = (GRID_T)(size - 1), count = (GRID_T)size;
    GRID_T place = s->aligned ? (g + 1) * (last / 2) : ((g + 1) * count - 1) / 2;
    *slope = (s->aligned ? last : count) / 2;
    if (s->padding == ZEROS) return place;
    if (s->padding == REFLECTION) {
        const GRID_T low = s->aligned ? 0 : (GRID_T)-0.5, span = s->aligned ? last : count;
        const GRID_T away = place < low ? low - place : place - low;
        const GRID_T turns = span > 0 ? (GRID_T)floor((double)(away / span)) : 0;
        const GRID_T rest = away - turns * span;
        const int back = (GRID_T)2 * (GRID_T)floor((double)turns / 2) != turns;
        if (back != (place < low)) *slope = -*slope; /* turned an odd number of times */
        place = back ? span - rest + low : rest + low;
    }
    if (place > 0 && place < last) return place;
    *slope = 0;
    return place >= last && size > 0 ? last : 0;
}

/* The pixels around the place of one output pixel. */
static corner_set GRID_NAME(find_around)(const GRID_T *grid, const sampling *s) {
    corner_set at = {{-1, -1, -1, -1}, {0, 0, 0, 0}, 0, 0, 0, 0};
    GRID_T slope_x, slope_y;
    GRID_T x = GRID_NAME(find_place)(grid[0], s->width, s, &slope_x);
    GRID_T y = GRID_NAME(find_place)(grid[1], s->height, s, &slope_y);
    if (!(x > -1 && x < (GRID_T)s->width && y > -1 && y < (GRID_T)s->height)) return at;
    if (s->nearest) {
        const int64_t column = (int64_t)rint((double)x), row = (int64_t)rint((double)y);
        if (column >= 0 && row >= 0 && column < s->width && row < s->height)
            at.offset[0] = row * s->width + column;
        at.weight[0] = 1;
        return at;
    }
    const int64_t column = (int64_t)floor((double)x), row = (int64_t)floor((double)y);
    at.right = (double)(x - (GRID_T)column);
    at.below = (double)(y - (GRID_T)row);
    at.slope_x = (double)slope_x;
    at.slope_y = (double)slope_y;
    for (int k = 0; k < 4; k++) {
        const int64_t c = column + k % 2, r = row + k / 2;
        if (c < 0 || r < 0 || c >= s->width || r >= s->height) continue;
        at.offset[k] = r * s->width + c;
        at.weight[k] = (k % 2 ? at.right : 1 - at.right) * (k / 2 ? at.below : 1 - at.below);
    }
    return at;
}

/* Output pixels [begin, end) of image n. */
static void GRID_NAME(sample)(const sampling *s, void *out, const void *input, const void *grid,
                              int64_t n, int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++) {
        const corner_set at =
            GRID_NAME(find_around)((const GRID_T *)grid + 2 * (n * s->places + p), s);
        const GRID_T *plane = (const GRID_T *)input + n * s->channels * s->pixels;
        GRID_T *to = (GRID_T *)out + n * s->channels * s->places + p;
        for (int64_t c = 0; c < s->channels; c++, plane += s->pixels, to += s->places) {
            GRID_T sum = 0;
            for (int k = 0; k < 4; k++)
                if (at.offset[k] >= 0) sum += (GRID_T)at.weight[k] * plane[at.offset[k]];
            *to = sum;
        }
    }
}

/* The gradients of image n; grad_input holds zeros. */
static void GRID_NAME(sample_backward)(const sampling *s, void *grad_input, void *grad_grid,
                                       const void *grad_output, const void *input, const void *grid,
                                       int64_t n) {
    for (int64_t p = 0; p < s->places; p++) {
        const corner_set at =
            GRID_NAME(find_around)((const GRID_T *)grid + 2 * (n * s->places + p), s);
        const int64_t first = n * s->channels * s->pixels;
        const GRID_T *plane = (const GRID_T *)input + first;
        GRID_T *grad_plane = (GRID_T *)grad_input + first;
        const GRID_T *from = (const GRID_T *)grad_output + n * s->channels * s->places + p;
        GRID_T sums[4] = {0, 0, 0, 0}; /* of grad_output times each neighbour */
        for (int64_t c = 0; c < s->channels; c++, from += s->places) {
            for (int k = 0; k < 4; k++) {
                if (at.offset[k] < 0) continue;
                grad_plane[at.offset[k]] += (GRID_T)at.weight[k] * *from;
                sums[k] += plane[at.offset[k]] * *from;
            }
            plane += s->pixels;
            grad_plane += s->pixels;
        }
        const GRID_T right = (GRID_T)at.right, below = (GRID_T)at.below;
        GRID_T *to = (GRID_T *)grad_grid + 2 * (n * s->places + p);
        to[0] =
            (GRID_T)at.slope_x * ((sums[1] - sums[0]) * (1 - below) + (sums[3] - sums[2]) * below);
        to[1] =
            (GRID_T)at.slope_y * ((sums[2] - sums[0]) * (1 - right) + (sums[3] - sums[1]) * right);
    }
}

#undef GRID_T
#undef GRID_NAME

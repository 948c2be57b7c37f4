/* The peak of multiply-adds: twelve chains that do not wait for each other, as a multiply-add takes
 * four or five cycles and a processor begins two in a cycle. */
#ifndef MG_CHAINS
#define MG_CHAINS 12
#endif

static double NAME(multiply_adds)(int64_t rounds, double factor, double term, double *sum) {
    const V times = (V){0} + (T)factor, plus = (V){0} + (T)term;
    V chain[MG_CHAINS];
    MG_UNROLL
    for (int i = 0; i < MG_CHAINS; i++) chain[i] = (V){0} + (T)i;
    for (int64_t round = 0; round < rounds; round++) {
        MG_UNROLL
        for (int i = 0; i < MG_CHAINS; i++) chain[i] = chain[i] * times + plus;
    }
    V all = chain[0];
    MG_UNROLL
    for (int i = 1; i < MG_CHAINS; i++) all += chain[i];
    for (int lane = 0; lane < LANES; lane++) *sum += (double)all[lane];
    return 2.0 * MG_CHAINS * LANES * (double)rounds;
}

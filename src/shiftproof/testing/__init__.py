"""For the tests of others: the pytest fixture `assert_shift_invariant`."""

from shiftproof.testing._fixture import assert_shift_invariant as assert_shift_invariant
from shiftproof.testing._fixture import check_shift_invariant as check_shift_invariant

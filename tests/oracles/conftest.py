"""The store that the tests of exports read, in this folder as in theirs."""

from tests.exports.conftest import store as store

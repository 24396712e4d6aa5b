"""What tests/test_cuda.py shows in the simulator, on the device: ops, reductions, formulas, loops, state, draws."""

from __future__ import annotations

import pytest
from test_cuda import (  # noqa: F401
    test_an_index_out_of_bounds_is_an_error_that_leaves_shared_variables_alone,
    test_arrays_on_the_device_come_and_go_without_copies,
    test_draws_are_those_of_the_cpu,
    test_every_elementwise_op,
    test_every_reduction,
    test_fused_formulas,
    test_gathers_and_scatters,
    test_loops_and_their_gradients,
    test_one_kernel_for_a_row_formula_and_its_launches,
    test_random_programs,
    test_shared_variables_stay_on_the_device,
    test_sizes_of_one_at_run_time_broadcast,
    test_the_largest_of_nothing_is_an_error,
    test_views_are_numpy_s,
)
from test_cuda_little import (  # noqa: F401
    little,
    test_fused_formulas_of_little_work,
    test_nothing_and_one_element,
    test_parts_of_a_kernel_are_one_launch,
)
from test_cuda_memory import (  # noqa: F401
    test_an_elementwise_update_is_written_over_the_old_value,
    test_every_update_is_that_of_the_cpu,
    test_free_gives_what_no_array_uses_back,
    test_results_are_written_into_the_arrays_given_for_them,
    test_two_variables_that_take_each_other_s_value,
    test_values_that_users_hold_are_not_written_over,
)
from test_cuda_profile import (  # noqa: F401
    test_bytes_are_those_of_the_arrays_that_a_kernel_reads_and_writes,
    test_calls_that_the_host_serves_are_watched_too,
)
from test_cuda_replay import (  # noqa: F401
    replayed,
    test_an_index_out_of_bounds_is_an_error_in_each_call,
    test_calls_that_do_more_are_done_as_ever,
    test_other_errors_are_those_of_the_first_call,
    test_results_and_launches_are_those_of_other_calls,
    test_sizes_and_choices_are_those_of_each_call,
)

from fuse.codegen import device


@pytest.fixture(autouse=True)
def as_large_arrays(monkeypatch):
    """Small arrays meet the launches of large ones; the tests of little work ask for theirs by ``little``."""
    monkeypatch.setattr(device.current(), "little", 0)

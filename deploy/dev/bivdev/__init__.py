# SPDX-License-Identifier: Apache-2.0
"""One private Bivouac on this machine: what `./dev up` runs and what the tests start. Standard library only, but for the client."""

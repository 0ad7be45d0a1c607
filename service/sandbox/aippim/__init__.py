"""The twin of AIPPIM (also called MIPPIA), written from the vendor's pages at platform.mippia.com."""

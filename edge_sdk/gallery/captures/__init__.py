"""Sealed enrolment captures: the crops of an enrolment, for another network without another visit."""

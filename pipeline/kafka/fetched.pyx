# cython: language_level=3, boundscheck=False, wraparound=False
"""``sort_in`` and ``earliest_ms`` of ``pipeline.kafka.records``, which are their meaning, in a sixth of their time.

A method without arguments is looked up and called through Python's protocol six times for each message. Here its C
function is called, which the method's descriptor has. Where confluent-kafka has such methods no longer this module
cannot be imported, and the other takes its place.
"""

from cpython.object cimport PyObject

from confluent_kafka import Message

from pipeline.core.sessions.native.columns cimport RecordColumns
from pipeline.kafka.records import earliest_ms as earliest_of, to_record

cdef extern from *:
    """
    typedef PyObject *(*Getter)(PyObject *, PyObject *);

    static Getter getter_of(PyObject *method) {
        PyMethodDef *found;
        if (!PyObject_TypeCheck(method, &PyMethodDescr_Type)) return NULL;
        found = ((PyMethodDescrObject *)method)->d_method;
        return found->ml_flags == METH_NOARGS ? (Getter)found->ml_meth : NULL;
    }
    """
    ctypedef object (*Getter)(object, PyObject *)
    Getter getter_of(object)


cdef Getter _getter(str name) except NULL:
    cdef Getter found = getter_of(getattr(Message, name, None))
    if found == NULL:
        raise ImportError(f"Message.{name} is no C method without arguments")
    return found


cdef Getter _topic = _getter("topic"), _partition = _getter("partition"), _error = _getter("error")
cdef Getter _value = _getter("value"), _offset = _getter("offset"), _timestamp = _getter("timestamp")


def sort_in(list messages not None, wanted, dict grouped not None):
    """Add records to those of their partitions, where these are wanted; gives the errors of any, each with its offset."""
    cdef list errors = []
    cdef RecordColumns records = None
    cdef object message, topic, partition, error, value, stamp, at_topic = "", at_partition = -1
    cdef bint is_wanted = False
    for message in messages:
        if type(message) is not Message:
            raise TypeError(f"a Message is needed, not {type(message).__name__}")
        topic, partition = _topic(message, NULL), _partition(message, NULL)
        if partition != at_partition or topic != at_topic:
            at_topic, at_partition = topic or "", partition or 0
            source = (at_topic, at_partition)
            is_wanted, records = source in wanted, grouped.get(source)
        error = _error(message, NULL)
        if error is not None:
            errors.append(((at_topic, at_partition), error, _offset(message, NULL) or 0))
        elif is_wanted:
            if records is None:
                records = grouped[source] = RecordColumns()
            value = _value(message, NULL)
            if value is None:
                records.append(to_record(message))
            else:
                # Kept in a variable: the tuple is made for this call, and what is borrowed of it goes with it.
                stamp = _timestamp(message, NULL)
                records.add(_offset(message, NULL) or 0, stamp[1], value)
    return errors


def earliest_ms(records):
    """The earliest time of a record that is no tick; None where there is none with a time."""
    if not isinstance(records, RecordColumns):
        return earliest_of(records)
    earliest = (<RecordColumns>records).earliest_ms()
    return None if earliest < 0 else earliest

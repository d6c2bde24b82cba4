"""STUB not for commit"""
from weakref import WeakKeyDictionary
from verdigris._core import getcurrent
class local:
    __slots__=('_d','_a','__weakref__')
    def __new__(cls,*a,**k):
        self=object.__new__(cls); object.__setattr__(self,'_d',WeakKeyDictionary()); object.__setattr__(self,'_a',(a,k)); return self
    def _get(self):
        d=object.__getattribute__(self,'_d'); g=getcurrent()
        if g not in d:
            d[g]={}
            a,k=object.__getattribute__(self,'_a'); type(self).__init__(self,*a,**k)
        return d[g]
    def __init__(self,*a,**k): pass
    def __getattribute__(self,n):
        if n=='__dict__': return local._get(self)
        try: return local._get(self)[n]
        except KeyError: return object.__getattribute__(self,n)
    def __setattr__(self,n,v): local._get(self)[n]=v
    def __delattr__(self,n):
        try: del local._get(self)[n]
        except KeyError: raise AttributeError(n)
